//! ioatdma.sys: the KMDF function driver of Intel's I/OAT engine.
#![no_std]
