//! The ring of past events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netdma_events::Event;
use netdma_events::history::{History, LENGTH, Moment};

fn event(number: u64) -> Event {
    Event::DrainAborted { provider: number, channel: number, client: number, outstanding: number }
}

#[test]
fn an_event_reads_back_as_it_was_written() {
    let history = History::new();
    let moment = Moment { time: 123, processor: 5, irql: 2, thread: 0x88 };
    history.keep(Event::ProviderStopped { provider: 3, outstanding: 7 }, moment);
    let kept: Vec<_> = history.iter().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].number, kept[0].moment, kept[0].entry.name), (1, moment, "ProviderStopped"));
    assert_eq!(kept[0].values, [3, 7, 0, 0]);
}

#[test]
fn the_oldest_events_make_room_for_the_newest() {
    let history = History::new();
    for number in 1..=LENGTH as u64 + 10 {
        history.keep(event(number), Moment::default());
    }
    let numbers: Vec<_> = history.iter().map(|happened| (happened.number, happened.values[0])).collect();
    let expected: Vec<_> = (11..=LENGTH as u64 + 10).map(|number| (number, number)).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn nothing_has_happened_in_an_empty_history() {
    assert_eq!(History::new().iter().count(), 0);
}

#[test]
fn a_reader_beside_writers_never_sees_a_record_of_two_events() {
    let history = Arc::new(History::new());
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2_u64)
        .map(|writer| {
            let (history, done) = (Arc::clone(&history), Arc::clone(&done));
            thread::spawn(move || {
                for number in 0.. {
                    history.keep(event(writer << 32 | number), Moment::default());
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        })
        .collect();
    while history.written() < LENGTH as u64 {
        thread::yield_now();
    }
    let mut seen = 0;
    for _ in 0..500 {
        for happened in history.iter() {
            assert!(happened.values.iter().all(|value| *value == happened.values[0]), "{happened:?}");
            seen += 1;
        }
    }
    done.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
    assert!(seen > 0, "the reader saw nothing");
}
