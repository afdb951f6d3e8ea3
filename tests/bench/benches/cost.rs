//! What is counted. The id of each case tells `cargo xtask bench` the batch.
#![allow(missing_docs, reason = "the macros make public items of their own")]

use gungraun::{library_benchmark, library_benchmark_group, main};
use netdma_abi::Version;
use netdma_bench::client::Client;
use netdma_bench::engine::Copier;

fn counted(batch: u32) -> Box<Client> {
    Client::warm(Version::V2_1, batch)
}

fn null_terminated(batch: u32) -> Box<Client> {
    Client::warm(Version::V1_1, batch)
}

// The dialect from 2.0 on.
#[library_benchmark]
#[bench::batch_1(args = (1), setup = counted)]
#[bench::batch_8(args = (8), setup = counted)]
#[bench::batch_32(args = (32), setup = counted)]
#[bench::batch_128(args = (128), setup = counted)]
fn client_2x(mut client: Box<Client>) -> Box<Client> {
    client.rounds();
    client
}

// The dialect of 1.0 and 1.1.
#[library_benchmark]
#[bench::batch_1(args = (1), setup = null_terminated)]
#[bench::batch_8(args = (8), setup = null_terminated)]
#[bench::batch_32(args = (32), setup = null_terminated)]
#[bench::batch_128(args = (128), setup = null_terminated)]
fn client_1x(mut client: Box<Client>) -> Box<Client> {
    client.rounds();
    client
}

// The engine model.
#[library_benchmark]
#[bench::batch_64(args = (), setup = Copier::warm)]
fn engine(mut copier: Box<Copier>) -> Box<Copier> {
    copier.rounds();
    copier
}

library_benchmark_group!(name = cost, benchmarks = [client_2x, client_1x, engine]);
main!(library_benchmark_groups = cost);
