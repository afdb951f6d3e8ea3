//! A software model of Intel's I/OAT engine: PCI configuration space, registers, descriptors, interrupts, fault plans.
