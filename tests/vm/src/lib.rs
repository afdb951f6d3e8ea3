//! The engine model as a vfio-user PCI function for QEMU guests.
