//! The end of a machine: everything is removed and unloaded, and what is left is reported.

use super::{DevnodeId, RemoveError};
use crate::io::service::ServiceError;
use crate::kernel::Kernel;
use crate::memory::pool::PoolLeak;

/// What was left when everything had been removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Devices that could not be removed, and why.
    pub devices: Vec<(DevnodeId, RemoveError)>,
    /// Services that could not be stopped, and why.
    pub services: Vec<(String, String)>,
    /// Images that are still loaded although nobody needs them.
    pub images: Vec<String>,
    /// Pool that was not freed.
    pub pool: Vec<PoolLeak>,
    /// Packets that were never completed.
    pub packets: Vec<String>,
    /// Files that are still open.
    pub files: usize,
    /// Registry keys that are still open.
    pub keys: Vec<String>,
    /// Framework objects that still exist.
    pub framework_objects: usize,
    /// References to bus interfaces that were not given back.
    pub interface_references: i64,
}

impl Report {
    /// How many things were left behind.
    #[must_use]
    pub fn leaks(&self) -> usize {
        let counted = [
            self.devices.len(),
            self.services.len(),
            self.images.len(),
            self.pool.len(),
            self.packets.len(),
            self.files,
            self.keys.len(),
            self.framework_objects,
        ];
        counted.iter().sum::<usize>() + usize::try_from(self.interface_references).unwrap_or(0)
    }
}

impl Kernel {
    /// Removes every device, stops every service that can be stopped, and says what is left. Root-enumerated devices go
    /// first: they are clients of the others.
    pub fn shutdown(&self) -> Report {
        let mut report = Report::default();
        let (clients, others): (Vec<DevnodeId>, Vec<DevnodeId>) = self
            .all_nodes()
            .into_iter()
            .rev()
            .partition(|id| self.node(*id).is_some_and(|node| node.slot.is_none()));
        for id in clients.into_iter().chain(others) {
            if let Err(error) = self.remove_device(id) {
                report.devices.push((id, error));
            }
        }
        for service in self.running_services() {
            if let Err(error) = self.stop_service(&service)
                && !matches!(error, ServiceError::NoUnload(_))
            {
                report.services.push((service, error.to_string()));
            }
        }
        // What a service without DriverUnload holds is no leak: it stays with it.
        let kept: Vec<String> =
            self.running_services().iter().map(|service| service.to_lowercase()).collect();
        let is_kept =
            |image: &str| kept.iter().any(|service| image.to_lowercase() == format!("{service}.sys"));
        let images = self.images();
        report.images = images.iter().map(|image| image.name.clone()).filter(|name| !is_kept(name)).collect();
        report.pool = self.pool_in_use(|by| !self.image_of(by).is_some_and(|image| is_kept(&image.name)));
        report.packets = self.irps_in_flight();
        report.files = self.open_files();
        report.keys = self.open_keys();
        report.framework_objects = self.wdf_objects();
        report.interface_references = self.interface_references();
        report
    }
}
