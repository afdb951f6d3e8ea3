//! Every requirement that binds the interface, on the real netdma.sys image: registration, start and stop, channels,
//! completion, control, power, clients. Provider and client are this program's (see `bench` and `routines`), so that each can be as
//! legal, as odd or as broken as a test needs.

#![forbid(unsafe_code)]

mod abi;
mod bench;
mod cache;
mod calls;
mod channels;
mod clients;
mod completion;
mod control;
mod handles;
mod hardware;
mod hostile;
mod power;
mod races;
mod registration;
mod routines;
mod soft;
