//! The portable parts of netdmatest.sys: where submission and completion meet, and the queue of requests.

#[path = "../../client/src/queue.rs"]
mod queue;
#[path = "../../client/src/rendezvous.rs"]
mod rendezvous;

use queue::Queue;
use rendezvous::{Rendezvous, Slot};

fn rendezvous(slots: usize) -> Rendezvous<Vec<Slot<&'static str>>> {
    Rendezvous::new((0..slots).map(|_| Slot::Free).collect())
}

#[test]
fn a_completion_after_its_submission_gets_the_value() {
    let mut meeting = rendezvous(4);
    assert_eq!(meeting.submitted(7, "copy"), None);
    assert_eq!(meeting.completed(7, 0), Some("copy"));
}

#[test]
fn a_completion_before_its_submission_returned_is_kept_for_it() {
    let mut meeting = rendezvous(4);
    assert_eq!(meeting.completed(7, -1), None);
    assert_eq!(meeting.submitted(7, "copy"), Some(("copy", -1)));
}

#[test]
fn a_copy_is_given_out_once() {
    let mut meeting = rendezvous(4);
    meeting.submitted(7, "copy");
    meeting.completed(7, 0);
    assert_eq!(meeting.completed(7, 0), None);
}

#[test]
fn cookies_that_share_a_home_do_not_disturb_each_other() {
    let mut meeting = rendezvous(4);
    for (cookie, name) in [(1, "one"), (5, "five"), (9, "nine"), (13, "thirteen")] {
        assert_eq!(meeting.submitted(cookie, name), None);
    }
    assert_eq!(meeting.completed(9, 0), Some("nine"));
    assert_eq!(meeting.completed(1, 0), Some("one"));
    assert_eq!(meeting.completed(13, 0), Some("thirteen"));
    assert_eq!(meeting.completed(5, 0), Some("five"));
}

#[test]
fn a_place_is_used_again_in_every_order_of_the_two_sides() {
    let mut meeting = rendezvous(2);
    for cookie in 1..100 {
        if cookie % 3 == 0 {
            assert_eq!(meeting.completed(cookie, 5), None);
            assert_eq!(meeting.submitted(cookie, "copy"), Some(("copy", 5)));
        } else {
            assert_eq!(meeting.submitted(cookie, "copy"), None);
            assert_eq!(meeting.completed(cookie, 5), Some("copy"));
        }
    }
}

#[test]
fn a_value_for_which_there_is_no_place_comes_back() {
    let mut meeting = rendezvous(1);
    assert_eq!(meeting.submitted(1, "first"), None);
    assert_eq!(meeting.submitted(2, "second"), Some(("second", 0)));
    assert_eq!(rendezvous(0).submitted(1, "nowhere"), Some(("nowhere", 0)));
}

#[test]
fn a_queue_gives_out_in_order_also_around_its_end() {
    let mut queue = Queue::new(vec![None; 3]);
    for value in 0..10 {
        assert_eq!(queue.push(value), Ok(()));
        assert_eq!(queue.push(value + 100), Ok(()));
        assert_eq!(queue.first(), Some(&value));
        assert_eq!(queue.pop(), Some(value));
        assert_eq!(queue.pop(), Some(value + 100));
    }
    assert!(queue.is_empty());
}

#[test]
fn a_full_queue_gives_the_value_back_and_an_empty_one_nothing() {
    let mut queue = Queue::new(vec![None; 2]);
    assert_eq!(queue.push(1), Ok(()));
    assert_eq!(queue.push(2), Ok(()));
    assert_eq!(queue.push(3), Err(3));
    assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(1), Some(2), None));
    assert_eq!(queue.first(), None);
}
