//! The engine model against its requirements (M1 to M69 of docs/spec/ioat.md), each test a statement of behaviour.

mod anything;
mod bench;

mod completion;
mod copies;
mod faults;
mod interrupts;
mod legacy;
mod mutation;
mod pages;
mod pci;
mod probes;
mod raid;
mod registers;
mod states;
