//! INFs of the test packages, as plain as they can be. The machine's tests of wrong and of elaborate INFs write their own.

/// A driver's service without devices, which runs from the folder that `dirid` names.
pub fn service(name: &str, dirid: u32) -> String {
    format!(
        r#"{}
[DefaultInstall.NTamd64]
CopyFiles = @{name}.sys
[DefaultInstall.NTamd64.Services]
AddService = {name},, Service
{}"#,
        head(name, dirid),
        own_service(name, dirid)
    )
}

/// A function driver with message interrupts for the devices called `ids`, from the driver store; `settings` are further
/// lines of its hardware key.
pub fn device(name: &str, ids: &str, settings: &str) -> String {
    format!(
        r#"{}
[Manufacturer]
Makers = Models, NTamd64
[Models.NTamd64]
"Device" = Device, {ids}
[Device.NT]
CopyFiles = @{name}.sys
[Device.NT.HW]
AddReg = Hardware
[Hardware]
HKR,"Interrupt Management\MessageSignaledInterruptProperties",MSISupported,0x00010001,1
{settings}
[Device.NT.Services]
AddService = {name}, 2, Service
{}"#,
        head(name, 13),
        own_service(name, 13)
    )
}

fn head(name: &str, dirid: u32) -> String {
    format!(
        r#"
[Version]
Signature = "$WINDOWS NT$"
Class = System
ClassGuid = {{4d36e97d-e325-11ce-bfc1-08002be10318}}
Provider = Makers
DriverVer = 11/27/2026,1.0.0.0
[DestinationDirs]
DefaultDestDir = {dirid}
[SourceDisksFiles]
{name}.sys = 1"#
    )
}

fn own_service(name: &str, dirid: u32) -> String {
    format!(
        r#"[Service]
ServiceType = 1
StartType = 3
ErrorControl = 1
ServiceBinary = %{dirid}%\{name}.sys
"#
    )
}
