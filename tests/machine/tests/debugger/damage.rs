//! Damaged memory: each command comes to an end and says what cannot be.

use std::path::Path;

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Lab, Setup};
use serde_json::json;

use crate::Test;
use crate::session::{Row, Session};
use crate::sound::expect;

pub const TESTS: &[Test] = &[
    ("a_pointer_to_nothing_costs_one_row", a_pointer_to_nothing_costs_one_row),
    ("lengths_that_cannot_be_are_not_walked", lengths_that_cannot_be_are_not_walked),
    ("positions_out_of_order_are_said", positions_out_of_order_are_said),
    ("links_and_words_that_leave_the_ring_are_said", links_and_words_that_leave_the_ring_are_said),
    ("a_damaged_history_ends_and_keeps_what_is_sound", a_damaged_history_ends_and_keeps_what_is_sound),
];

const PROVIDERS: &str = "netdma::provider::PROVIDERS";
const CHANNELS: &str = "netdma::channel::CHANNELS";
/// Two engines, and a channel that has copied something.
fn at_work() -> Result<Lab, Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let program = lab.open()?;
    let channel = program.open_channel(&mut lab, ANY_CHANNEL)?;
    program.copy_verified(&mut lab, channel.number, 100_000, 1)?;
    Ok(lab)
}

/// Writes a word into the machine.
fn damage(lab: &mut Lab, address: u64, value: u64) -> Result<(), Failure> {
    lab.run(|k| k.write(address, value))
}

/// The address of the live channel at entry 0 plus the way to a field of it.
fn of_live(session: &Session, lab: &mut Lab, path: &[&str]) -> Result<u64, Failure> {
    let slot = session.place(lab, "netdma", CHANNELS, &["__0", "0", "value", "live", "value"])?;
    let live: u64 = lab.run(|k| k.read(slot))?;
    session.field_of("netdma", "netdma::channel::Live", path).map(|offset| live + offset)
}

fn expect_row(rows: &[Row], expected: &str) -> Result<(), Failure> {
    expect(rows.iter().any(|row| row.text.contains(expected)), || {
        format!("no row says {expected:?}: {rows:#?}")
    })
}

fn a_pointer_to_nothing_costs_one_row(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = at_work()?;
    let record = session.place(&mut lab, "netdma", PROVIDERS, &["__0", "0", "value", "record", "value"])?;
    damage(&mut lab, record, 0xFFFF_8000_DEAD_0000)?;
    let rows = session.run(&mut lab, "netdma_providers", json!([]))?;
    expect(rows.len() == 2 && rows[1].problem().is_none(), || {
        format!("the other provider is lost: {rows:#?}")
    })?;
    expect_row(&rows, "provider 0: Unable to read")?;
    let rows = session.run(&mut lab, "netdma_engine", json!([]))?;
    expect(rows.len() == 3, || format!("the other engine is lost: {rows:#?}"))?;
    expect_row(&rows, "provider 0: Unable to read")
}

fn lengths_that_cannot_be_are_not_walked(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = at_work()?;
    let pages = of_live(&session, &mut lab, &["channel", "ring", "memory", "pages", "length"])?;
    damage(&mut lab, pages, 0x4000_0000)?;
    let rows = session.run(&mut lab, "netdma_ring", json!([0]))?;
    expect_row(&rows, "an array of 1073741824 where at most 1024 can be")?;

    let mask = of_live(&session, &mut lab, &["channel", "ring", "mask"])?;
    damage(&mut lab, mask, 0x3_0000_0000)?;
    let rows = session.run(&mut lab, "netdma_channels", json!([]))?;
    expect_row(&rows, "the mask is damaged")?;
    damage(&mut lab, mask, u64::MAX)?;
    let rows = session.run(&mut lab, "netdma_channels", json!([]))?;
    expect_row(&rows, "which cannot be")?;

    let context = session.place(&mut lab, "netdma", PROVIDERS, &["__0", "0", "value", "record", "value"])?;
    let record: u64 = lab.run(|k| k.read(context))?;
    let name = record + session.field_of("netdma", "netdma::provider::Record", &["name", "count"])?;
    damage(&mut lab, name, 1 << 40)?;
    let context = record + session.field_of("netdma", "netdma::provider::Record", &["entries", "context"])?;
    let engine: u64 = lab.run(|k| k.read(context))?;
    let lanes = engine + session.field_of("ioatdma", "ioatdma::engine::Engine", &["lanes", "length"])?;
    damage(&mut lab, lanes, u64::MAX / 2)?;
    let rows = session.run(&mut lab, "netdma_providers", json!([]))?;
    expect(rows.iter().all(|row| row.field("Name").len() <= 64), || format!("{rows:#?}"))?;
    let rows = session.run(&mut lab, "netdma_engine", json!([]))?;
    expect_row(&rows, "provider 0: length reads 0x7fffffffffffffff, which cannot be")
}

fn positions_out_of_order_are_said(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = at_work()?;
    let done = of_live(&session, &mut lab, &["channel", "ring", "done"])?;
    damage(&mut lab, done, 1 << 50)?;
    let rows = session.run(&mut lab, "netdma_channels", json!([]))?;
    expect_row(&rows, "positions are out of order")?;
    let rows = session.run(&mut lab, "netdma_ring", json!([0, 100_000]))?;
    expect_row(&rows, "positions are out of order")?;
    let size: usize = rows[0].field("Size").parse().unwrap_or(0);
    expect(rows.len() == size + 1, || format!("{} rows for a ring of {size}", rows.len()))
}

fn links_and_words_that_leave_the_ring_are_said(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = at_work()?;
    let shared = of_live(&session, &mut lab, &["channel", "ring", "memory", "word"])?;
    let memory = session.field_of("netdma", "nt::pool::Shared<nt::dma::CommonPage>", &["value", "memory"])?;
    let word: u64 = lab.run(|k| k.read(k.read::<u64>(shared) + memory))?;
    damage(&mut lab, word, 0xDEAD_0000 | 3)?;
    let pages = of_live(&session, &mut lab, &["channel", "ring", "memory", "pages", "values"])?;
    let first: u64 = lab.run(|k| k.read(pages))?;
    let memory = first + session.field_of("netdma", "nt::dma::CommonPage", &["memory"])?;
    let page: u64 = lab.run(|k| k.read(memory))?;
    for slot in 0..64 {
        // The fourth word of a descriptor is its link.
        damage(&mut lab, page + slot * 64 + 24, 0xBAD_0000)?;
    }
    let rows = session.run(&mut lab, "netdma_ring", json!([0]))?;
    expect_row(&rows, "Halted, an address that is not of this ring: 0xdead0000")?;
    expect_row(&rows, "a link out of the ring: 0xbad0000")
}

fn a_damaged_history_ends_and_keeps_what_is_sound(node: &Path) -> Result<(), Failure> {
    const HISTORY: &str = "netdma::trace::TRACE::HISTORY";
    let mut session = Session::start(node)?;
    let mut lab = at_work()?;
    let before = session.run(&mut lab, "netdma_history", json!(["netdma"]))?;
    let third = session.place(&mut lab, "netdma", HISTORY, &["records", "3", "number"])?;
    damage(&mut lab, third, 77)?;
    let rows = session.run(&mut lab, "netdma_history", json!(["netdma"]))?;
    expect(rows.len() == before.len(), || format!("{rows:#?}"))?;
    expect_row(&rows, "netdma 3: its record says it is event 77")?;
    let written = session.place(&mut lab, "netdma", HISTORY, &["written"])?;
    damage(&mut lab, written, u64::MAX)?;
    let rows = session.run(&mut lab, "netdma_history", json!(["netdma"]))?;
    expect_row(&rows, "written reads 0xffffffffffffffff, which cannot be")?;
    damage(&mut lab, written, 1 << 52)?;
    let rows = session.run(&mut lab, "netdma_history", json!([]))?;
    expect(rows.len() > 3, || format!("the other images' events are lost: {rows:#?}"))
}
