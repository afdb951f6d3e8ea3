//! Two things at once, in seeded schedules: on three processors the engine runs and reports, clients post and poll, and somebody
//! controls, stops, frees or powers down. Whatever the schedule, each accepted cookie is told once and in order, at most one
//! entry point is inside for a channel, and none is called for a channel that was freed.

use std::cell::Cell;
use std::rc::Rc;

use netdma_abi::Version;
use nthost::Kernel;
use proof::proves;

use crate::bench::*;

/// Schedules of each row.
const SEEDS: u64 = 12;
/// What a poster tries to post.
const POSTS: u32 = 60;

/// Waits for a thread.
type Join = Box<dyn FnOnce(&Kernel)>;

/// Everybody who is on the machine.
struct Race<'a> {
    b: &'a Bench<'a>,
    provider: u64,
    client: u64,
    channel: u64,
    over: Rc<Cell<bool>>,
    accepted: Rc<Cell<u32>>,
    /// What waits for each thread, the engine's first.
    joins: Vec<Join>,
}

impl Race<'_> {
    /// The engine processes a descriptor or two and reports, from its ISR and DPC, until the race is over.
    fn engine(&mut self) {
        let (over, context) = (Rc::clone(&self.over), self.b.first());
        self.thread("engine", move |k| {
            let (cpu, rest) = (k.system_allocate(8, "processor"), k.system_allocate(8, "interval"));
            // Half a microsecond: time goes on while the others sleep.
            k.write(rest, -5_i64);
            while !over.get() {
                step_of(k, context);
                if let Some((handle, last)) = interrupt_of(context) {
                    let old = k.raise_irql(DISPATCH);
                    call(k, "NetDmaIsr", &[handle, last, cpu]);
                    call(k, "NetDmaInterruptDpc", &[handle, last]);
                    k.lower_irql(old);
                }
                k.call_export("KeDelayExecutionThread", &[0, 0, rest]);
            }
        });
    }

    /// A client posts, and polls what it has posted.
    fn poster(&mut self) {
        let (channel, accepted) = (self.channel, Rc::clone(&self.accepted));
        self.thread("poster", move |k| {
            let out = k.system_allocate(8, "cookie");
            for _ in 0..POSTS {
                if call(k, "NetDmaNullTransfer", &[channel, 0, 0, out]) as i32 == PENDING {
                    accepted.set(accepted.get() + 1);
                }
                call(k, "NetDmaIsDmaCopyComplete", &[channel, k.read::<u64>(out)]);
            }
        });
    }

    /// A client does this to its channel, again and again.
    fn controller(&mut self, exports: &'static [&'static str]) {
        let channel = self.channel;
        self.thread("controller", move |k| {
            for _ in 0..12 {
                for export in exports {
                    call(k, export, &[channel]);
                }
            }
        });
    }

    /// Lets the others run until something was posted.
    fn wait_for_a_post(&self) {
        let rest = self.b.scratch + 0xD00;
        self.b.k.write(rest, -1_i64);
        while self.accepted.get() == 0 {
            self.b.k.call_export("KeDelayExecutionThread", &[0, 0, rest]);
        }
    }

    fn thread(&mut self, name: &str, work: impl FnOnce(&Kernel) + 'static) {
        let id = self.b.k.spawn(name, 0, Box::new(work));
        self.joins.push(Box::new(move |k| k.join(id)));
    }

    /// Waits for all but the engine, then for it.
    fn join(&mut self) {
        let engine = self.joins.remove(0);
        for join in std::mem::take(&mut self.joins) {
            join(self.b.k);
        }
        self.over.set(true);
        engine(self.b.k);
    }
}

/// Runs a race in every schedule and both dialects, then judges it.
fn race(act: impl Fn(&mut Race<'_>)) {
    for seed in 1..=SEEDS {
        let version = if seed % 2 == 0 { Version::V2_1 } else { Version::V1_1 };
        on_machine(version, false, machine().cpus(3).seed(seed), |b| {
            b.script(|script| script.crowded = true);
            let (provider, client) = (b.provider(), b.client(1));
            let channel = b.allocate(client);
            let mut race = Race {
                b,
                provider,
                client,
                channel,
                over: Rc::default(),
                accepted: Rc::default(),
                joins: Vec::new(),
            };
            race.engine();
            act(&mut race);
            race.join();
            b.run(b.first());
            b.free(channel);
            let cookies: Vec<u64> = b.told().iter().map(|told| told.cookie).collect();
            proves!(image: R209, R276; assert_eq!(cookies.len(), race.accepted.get() as usize, "seed {seed}"));
            proves!(image: R209; assert!(cookies.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}"));
            b.deregister(race.provider);
            b.deregister_client(client);
            // Asserted by the provider's entry points, of which there were some.
            proves!(image: R255; assert!(b.calls().len() > 3, "seed {seed}"));
        });
    }
}

#[test]
fn append_against_going_idle() {
    race(|race| {
        race.poster();
        race.poster();
    });
}

#[test]
fn abort_and_reset_against_completion() {
    race(|race| {
        race.poster();
        race.controller(&["NetDmaAbortChannel", "NetDmaResetChannel"]);
    });
}

#[test]
fn suspend_and_resume_against_submission() {
    race(|race| {
        race.poster();
        race.controller(&["NetDmaSuspendChannel", "NetDmaResumeChannel"]);
    });
}

#[test]
fn stop_against_submission() {
    race(|race| {
        race.poster();
        race.poster();
        race.wait_for_a_post();
        race.b.stop(race.provider);
        proves!(image: R72, R73; assert!(interrupt_of(race.b.first()).is_none(), "freed when the stop returns"));
    });
}

#[test]
fn free_against_isr_and_dpc() {
    race(|race| {
        race.poster();
        race.wait_for_a_post();
        assert_eq!(race.b.free(race.channel), SUCCESS);
        proves!(image: R107; assert!(interrupt_of(race.b.first()).is_none()));
    });
}

#[test]
fn deregistration_of_a_client_against_its_submission() {
    race(|race| {
        race.poster();
        race.wait_for_a_post();
        assert_eq!(race.b.deregister_client(race.client), SUCCESS);
    });
}

#[test]
fn deregister_against_register() {
    race(|race| {
        race.poster();
        race.wait_for_a_post();
        let pdo = race.b.device(false);
        let provider = race.provider;
        race.thread("deregisterer", move |k| {
            call(k, "NetDmaDeregisterProvider", &[provider]);
        });
        for _ in 0..6 {
            let (status, second) = race.b.register_with(&Table { pdo, ..race.b.table() });
            assert_eq!(status, SUCCESS);
            race.b.deregister(second);
        }
        race.b.k.call_export("IoDeleteDevice", &[pdo]);
    });
}

#[test]
fn power_down_against_submission_and_power_up_against_free() {
    race(|race| {
        race.poster();
        for _ in 0..3 {
            race.b.power(race.provider, 5);
            race.b.power(race.provider, 6);
        }
        race.b.power(race.provider, 5);
        let channel = race.channel;
        race.thread("leaver", move |k| {
            call(k, "NetDmaFreeChannel", &[channel]);
        });
        race.b.power(race.provider, 6);
    });
}
