//! netdmatest.sys: a legacy-style NetDMA client and copy test.
#![no_std]
