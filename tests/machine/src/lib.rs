//! End to end: the three driver images on the hosted machine with the engine model.

#![forbid(unsafe_code)]

pub mod client;
pub mod demo;
pub mod engine;
pub mod events;
pub mod hosted;
pub mod lab;
pub mod life;
pub mod soft;
pub mod watched;
