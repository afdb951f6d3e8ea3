//! Engine errors and misbehaviour under the real netdma.sys and ioatdma.sys, many of them on one boot: what was done
//! before is reported done, what was in flight is reported failed, each request once, and the next batch works.
#![forbid(unsafe_code)]

mod client;
mod plans;

use ioat_regs::ChanErr;
use machine::lab::Failure;
use netdma_abi::descriptor::SERIALIZE_TRANSFER;
use proof::proves;

use client::*;

/// Where in a batch an error strikes, counted from one, and the flags of every request: with and without a fence.
const PLACES: [(usize, u32); 6] =
    [(1, 0), (16, 0), (32, 0), (1, SERIALIZE_TRANSFER), (16, SERIALIZE_TRANSFER), (32, SERIALIZE_TRANSFER)];

#[test]
fn every_error_at_the_first_a_middle_and_the_last_of_a_batch_ends_each_request_once() -> Result<(), Failure> {
    // Bit 15 is read only (§2.8): whoever sets it, no driver clears it.
    let bits: Vec<_> = ChanErr::ALL.iter().filter(|bit| 1 << bit.bit != ChanErr::UNAFFILIATED.0).collect();
    for device in DEVICES {
        let mut expected = Vec::new();
        let mut lab = with_client(options(device, ""), |client| {
            for bit in &bits {
                for (place, flags) in PLACES {
                    let case = format!("{device:04x}: {} at {place}, flags {flags:#x}", bit.name);
                    client.misbehave(&format!("halt descriptor={place} error={}", bit.name));
                    let cookies = client.submit(flags);
                    let ends = client.ends(&cookies);
                    client.misbehave("");
                    let good = place - 1;
                    let mut wanted = vec![SUCCESS; good];
                    wanted.resize(BATCH as usize, IO_DEVICE_ERROR);
                    proves!(image: R211, H34; assert_eq!(ends.as_deref(), Some(&wanted[..]), "{case}"));
                    assert!((0..good as u64).all(|number| client.arrived(number)), "{case}");
                    client.works(&case);
                    expected.push(1 << bit.bit);
                }
            }
        })?;
        let events = lab.events()?;
        let errors = events.iter().filter(|event| event.name() == "EngineError");
        assert_eq!(errors.filter_map(|event| event.value("errors")).collect::<Vec<u64>>(), expected);
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn interrupts_that_are_lost_or_nobody_asked_for_and_slow_words_cost_time_and_nothing_else()
-> Result<(), Failure> {
    for device in DEVICES {
        let lab = with_client(options(device, ""), |client| {
            for plan in [
                "drop-interrupt interrupt=1",
                "drop-interrupt interrupt=*",
                "spurious-interrupt descriptor=*",
                "late-completion completion=1 by=3000000",
                "torn-completion completion=*",
            ] {
                client.misbehave(plan);
                for _ in 0..2 {
                    proves!(image: H31; client.works(plan));
                }
                client.misbehave("");
                client.works(plan);
            }
        })?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn a_completion_word_that_never_came_is_made_good_by_the_watchdog() -> Result<(), Failure> {
    for device in DEVICES {
        let lab = with_client(options(device, ""), |client| {
            for plan in [
                "lost-completion completion=1",
                "backward-completion completion=1",
                "drop-interrupt interrupt=1; lost-completion completion=1",
                // Names nothing: the state is believed, the address is none.
                "foreign-completion completion=1 address=0x10",
            ] {
                // Nothing follows that could bring the next word: only the completion word tells what is done (Q7).
                client.misbehave(plan);
                proves!(image: H31, H44; client.works(plan));
                client.misbehave("");
                client.works(plan);
            }
        })?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn a_completion_word_that_names_a_stranger_is_not_believed_and_the_channel_is_stopped() -> Result<(), Failure>
{
    let strangers = ["0x1000", "0x100000040", "0xFFFFFFFFFFFFFFC0"];
    for device in DEVICES {
        let mut lab = with_client(options(device, ""), |client| {
            for address in strangers {
                let plan = format!("foreign-completion completion=1 address={address}");
                client.misbehave(&plan);
                let cookies = client.submit(0);
                // The stop writes an honest word: all was done.
                assert_eq!(
                    client.ends(&cookies),
                    Some(vec![SUCCESS; BATCH as usize]),
                    "{device:04x}: {plan}"
                );
                client.misbehave("");
                client.works(&plan);
            }
        })?;
        let names = lab.event_names()?;
        let foreign = names.iter().filter(|name| **name == "ForeignCompletion");
        assert_eq!(foreign.count(), strangers.len(), "{device:04x}");
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn an_interrupt_that_never_ends_stops_nobody() -> Result<(), Failure> {
    for device in DEVICES {
        let lab = with_client(options(device, ""), |client| {
            client.misbehave("stuck-interrupt interrupt=1");
            for _ in 0..3 {
                client.works("an interrupt that is stuck");
            }
        })?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn an_engine_found_running_or_halted_or_with_half_its_configuration_space_is_put_to_work()
-> Result<(), Failure> {
    for device in DEVICES {
        for plan in ["running-at-start", "halted-at-start error=read-data", "config-unreachable"] {
            nothing_left(with_client(options(device, plan), |_| {})?)?;
        }
    }
    Ok(())
}
