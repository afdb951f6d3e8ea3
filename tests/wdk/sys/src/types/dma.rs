//! DMA adapters and common buffers.

use super::*;

callbacks! {
    PUT_DMA_ADAPTER | PPUT_DMA_ADAPTER(DmaAdapter: *mut _DMA_ADAPTER);
    ALLOCATE_COMMON_BUFFER | PALLOCATE_COMMON_BUFFER(
        DmaAdapter: *mut _DMA_ADAPTER, Length: ULONG, LogicalAddress: PPHYSICAL_ADDRESS,
        CacheEnabled: BOOLEAN) -> PVOID;
    FREE_COMMON_BUFFER | PFREE_COMMON_BUFFER(
        DmaAdapter: *mut _DMA_ADAPTER, Length: ULONG, LogicalAddress: PHYSICAL_ADDRESS, VirtualAddress: PVOID,
        CacheEnabled: BOOLEAN);
    GET_DMA_ALIGNMENT | PGET_DMA_ALIGNMENT(DmaAdapter: *mut _DMA_ADAPTER) -> ULONG;
}

structs! {
    _DEVICE_DESCRIPTION = DEVICE_DESCRIPTION, PDEVICE_DESCRIPTION {
        Version: ULONG,
        Master: BOOLEAN,
        ScatterGather: BOOLEAN,
        DemandMode: BOOLEAN,
        AutoInitialize: BOOLEAN,
        Dma32BitAddresses: BOOLEAN,
        IgnoreCount: BOOLEAN,
        Reserved1: BOOLEAN,
        Dma64BitAddresses: BOOLEAN,
        BusNumber: ULONG,
        DmaChannel: ULONG,
        InterfaceType: INTERFACE_TYPE,
        DmaWidth: ULONG,
        DmaSpeed: ULONG,
        MaximumLength: ULONG,
        DmaPort: ULONG,
        DmaAddressWidth: ULONG,
        DmaControllerInstance: ULONG,
        DmaRequestLine: ULONG,
        DeviceAddress: PHYSICAL_ADDRESS,
    }
    _DMA_ADAPTER = DMA_ADAPTER, PDMA_ADAPTER {
        Version: USHORT,
        Size: USHORT,
        DmaOperations: *mut _DMA_OPERATIONS,
    }
    _DMA_OPERATIONS = DMA_OPERATIONS, PDMA_OPERATIONS {
        Size: ULONG,
        PutDmaAdapter: PPUT_DMA_ADAPTER,
        AllocateCommonBuffer: PALLOCATE_COMMON_BUFFER,
        FreeCommonBuffer: PFREE_COMMON_BUFFER,
        AllocateAdapterChannel: PVOID,
        FlushAdapterBuffers: PVOID,
        FreeAdapterChannel: PVOID,
        FreeMapRegisters: PVOID,
        MapTransfer: PVOID,
        GetDmaAlignment: PGET_DMA_ALIGNMENT,
        ReadDmaCounter: PVOID,
        GetScatterGatherList: PVOID,
        PutScatterGatherList: PVOID,
        CalculateScatterGatherList: PVOID,
        BuildScatterGatherList: PVOID,
        BuildMdlFromScatterGatherList: PVOID,
        GetDmaAdapterInfo: PVOID,
        GetDmaTransferInfo: PVOID,
        InitializeDmaTransferContext: PVOID,
        AllocateCommonBufferEx: PVOID,
        AllocateAdapterChannelEx: PVOID,
        ConfigureAdapterChannel: PVOID,
        CancelAdapterChannel: PVOID,
        MapTransferEx: PVOID,
        GetScatterGatherListEx: PVOID,
        BuildScatterGatherListEx: PVOID,
        FlushAdapterBuffersEx: PVOID,
        FreeAdapterObject: PVOID,
        CancelMappedTransfer: PVOID,
        AllocateDomainCommonBuffer: PVOID,
        FlushDmaBuffer: PVOID,
        JoinDmaDomain: PVOID,
        LeaveDmaDomain: PVOID,
        GetDmaDomain: PVOID,
        AllocateCommonBufferWithBounds: PVOID,
        AllocateCommonBufferVector: PVOID,
        GetCommonBufferFromVectorByIndex: PVOID,
        FreeCommonBufferFromVector: PVOID,
        FreeCommonBufferVector: PVOID,
        CreateCommonBufferFromMdl: PVOID,
    }
}
