//! Safe kernel primitives for every .sys of this project: the one home of general unsafe code.
#![no_std]
