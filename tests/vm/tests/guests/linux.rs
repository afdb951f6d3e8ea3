//! Linux' ioatdma and dmatest.
//!
//! ioatdma tests each channel when it binds and registers it only if the test passes. dmatest then copies random
//! lengths between random offsets and compares every byte, inside and around.

use proof::proves;

use crate::{
    machine::Outcome,
    scenario::{PLAIN, Scenario},
};

/// Binds ioatdma, counts channels, runs `copies` copies in two threads per channel.
macro_rules! copies {
    ($iterations:literal) => {
        concat!(
            "insmod /lib/dca.ko; insmod /lib/ioatdma.ko $IOAT\n",
            "echo \"MARK channels $(ls /sys/class/dma | wc -l)\"\n",
            "insmod /lib/dmatest.ko\n",
            "cd /sys/module/dmatest/parameters\n",
            "echo 3000 > timeout; echo 2 > threads_per_chan; echo ",
            $iterations,
            " > iterations\n",
            "echo 1 > run; cat wait > /dev/null\n",
            "grep ioat /proc/interrupts | sed 's/^/LOG /'\n"
        )
    };
}

/// What dmatest summed up, over all its threads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    threads: u64,
    tests: u64,
    failures: u64,
    /// Of the slowest thread.
    per_second: u64,
}

/// `dmatest: dma0chan0-copy0: summary 1000 tests, 0 failures 4522.59 iops 36180 KB/s (0)`
fn summary(outcome: &Outcome) -> Summary {
    let mut sum = Summary { per_second: u64::MAX, ..Summary::default() };
    for line in outcome.serial.lines().filter(|line| line.contains("dmatest") && line.contains(": summary "))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let before = |word: &str| -> Option<u64> {
            let position = words.iter().position(|candidate| candidate.trim_end_matches(',') == word)?;
            words.get(position.checked_sub(1)?)?.split('.').next()?.parse().ok()
        };
        let (Some(tests), Some(failures), Some(rate)) = (before("tests"), before("failures"), before("iops"))
        else {
            continue;
        };
        sum.threads += 1;
        sum.tests += tests;
        sum.failures += failures;
        sum.per_second = sum.per_second.min(rate);
    }
    sum
}

/// Below this a channel lives on ioatdma's 200 ms timer: its interrupts are lost (M54).
const STALLED: u64 = 60;

/// All of `channels` came up and all `tests` copies were verified, at a pace that interrupts alone explain.
fn hold(outcome: &Outcome, channels: u64, tests: u64) -> Result<String, String> {
    let found = outcome.mark("channels").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if found != channels {
        return Err(format!("{found} of {channels} channels passed ioatdma's self-test"));
    }
    let sum = summary(outcome);
    if sum.failures != 0 {
        return Err(format!("dmatest found {} failures in {} tests", sum.failures, sum.tests));
    }
    if sum.tests != tests {
        return Err(format!("dmatest reported {} of {tests} tests", sum.tests));
    }
    if sum.per_second < STALLED {
        return Err(format!("a thread made only {} copies a second: interrupts are lost", sum.per_second));
    }
    if outcome.mark("end").is_none() {
        return Err("the guest did not come to its end".into());
    }
    for trouble in ["BUG:", "kernel BUG", "Call Trace", "Kernel panic", "ioat3_timer_event", "CHANERR"] {
        if outcome.count(trouble) != 0 {
            return Err(format!("the kernel says {trouble}"));
        }
    }
    let statistics = format!(
        "{} channel(s), {} copies verified in {} threads, {} descriptors, {} messages, {} line interrupts",
        found,
        sum.tests,
        sum.threads,
        outcome.counter("descriptors"),
        outcome.counter("messages"),
        outcome.counter("line assertions")
    );
    Ok(statistics)
}

fn two_thousand(outcome: &Outcome) -> Result<String, String> {
    let text = hold(outcome, 1, 2000)?;
    if outcome.counter("messages") == 0 {
        return Err("no MSI-X message was sent".into());
    }
    Ok(text)
}

const COPIES: Scenario = Scenario { script: copies!("1000"), judge: two_thousand, ..PLAIN };

/// The scenario of a broken engine, which [`two_thousand`] must not accept.
const fn broken(name: &'static str, engine: &'static [&'static str]) -> Scenario {
    Scenario { name, engine, must_be_caught: true, ..COPIES }
}

/// What this driver did to the engine until it had proven it, which docs/ioat-bringup.md compares with ours. UPDATE_DOCS=1
/// writes it.
const PROBE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/probes/linux-6f20.txt");

fn same_probe(outcome: &Outcome) -> Result<(), String> {
    let lines = outcome.server.lines().filter_map(|line| line.strip_prefix("probe 0: "));
    let seen: String = lines.flat_map(|line| [line, "\n"]).collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PROBE, &seen).map_err(|error| format!("{PROBE}: {error}"))?;
    }
    let known = std::fs::read_to_string(PROBE).map_err(|error| format!("{PROBE}: {error}"))?;
    if seen == known {
        return Ok(());
    }
    Err(format!(
        "the driver probes otherwise than {PROBE} says; `UPDATE_DOCS=1 cargo xtask vm --only linux-6f20` writes it"
    ))
}

/// Every scenario with a Linux guest's own driver.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "linux-6f20",
            always: true,
            engine: &["--probe", "2000"],
            judge: |outcome| {
                let text = two_thousand(outcome)?;
                same_probe(outcome)?;
                proves!(model: M53; assert_eq!(summary(outcome).failures, 0));
                Ok(text)
            },
            ..COPIES
        },
        Scenario { always: true, ..broken("linux-catches-flipped-bit", &["--fault", "flip-bit copy=*/100"]) },
        Scenario { name: "linux-3430", engine: &["--id", "3430"], ..COPIES },
        Scenario { name: "linux-3710", engine: &["--id", "3710"], ..COPIES },
        Scenario { name: "linux-3c20", engine: &["--id", "3c20"], ..COPIES },
        Scenario { name: "linux-0e20", engine: &["--id", "0e20"], ..COPIES },
        Scenario { name: "linux-2f20", engine: &["--id", "2f20"], ..COPIES },
        Scenario { name: "linux-2021", engine: &["--id", "2021"], ..COPIES },
        Scenario { name: "linux-2021-as-3.2", engine: &["--id", "2021", "--version", "3.2"], ..COPIES },
        Scenario { name: "linux-0c50", engine: &["--id", "0c50"], ..COPIES },
        Scenario { name: "linux-6f50", engine: &["--id", "6f50"], ..COPIES },
        Scenario { name: "linux-0b00", engine: &["--id", "0b00"], ..COPIES },
        Scenario {
            name: "linux-four-channels",
            engine: &["--channels", "4"],
            judge: |outcome| hold(outcome, 4, 8000),
            ..COPIES
        },
        Scenario {
            name: "linux-eight-functions",
            functions: 8,
            judge: |outcome| {
                let text = hold(outcome, 8, 16000)?;
                Ok(text)
            },
            ..COPIES
        },
        Scenario {
            name: "linux-line-interrupts",
            script: concat!("IOAT=ioat_interrupt_style=intx\n", copies!("1000")),
            judge: |outcome| {
                let text = hold(outcome, 1, 2000)?;
                let (lines, messages) = (outcome.counter("line assertions"), outcome.counter("messages"));
                if lines == 0 || messages != 0 {
                    return Err(format!("{lines} line interrupts and {messages} messages"));
                }
                Ok(text)
            },
            ..COPIES
        },
        Scenario { name: "linux-two-cpus", qemu: &["-smp", "2"], ..COPIES },
        Scenario {
            name: "linux-strict-iommu",
            qemu: &["-device", "intel-iommu,caching-mode=on"],
            kernel: "intel_iommu=on iommu.strict=1 iommu.passthrough=0",
            judge: |outcome| {
                if outcome.count("DMAR") == 0 {
                    return Err("the guest has no IOMMU".into());
                }
                two_thousand(outcome)
            },
            ..COPIES
        },
        Scenario {
            name: "linux-reboot",
            boots: 2,
            judge: |outcome| {
                if outcome.count("MARK boot") != 2 {
                    return Err(format!("{} boots", outcome.count("MARK boot")));
                }
                hold(outcome, 1, 4000)
            },
            ..COPIES
        },
        Scenario {
            name: "linux-read-error-recovery",
            engine: &["--fault", "halt descriptor=400 error=read-data"],
            script: concat!(copies!("1000"), "echo 1 > run; cat wait > /dev/null\n"),
            judge: recovers,
            ..COPIES
        },
        Scenario {
            name: "linux-write-error-recovery",
            engine: &["--fault", "halt descriptor=400 error=write-data"],
            script: concat!(copies!("1000"), "echo 1 > run; cat wait > /dev/null\n"),
            judge: recovers,
            ..COPIES
        },
        Scenario {
            name: "linux-xor",
            engine: &["--id", "0b00", "--capability", "0x141"],
            judge: |outcome| {
                let text = hold(outcome, 1, 4000)?;
                let raids = outcome.counter("xor and pq");
                if raids == 0 {
                    return Err("no XOR was executed".into());
                }
                Ok(format!("{text}, {raids} XOR"))
            },
            ..COPIES
        },
        Scenario {
            name: "linux-pq",
            engine: &["--id", "0b00", "--capability", "0x341"],
            judge: |outcome| {
                let text = hold(outcome, 1, 6000)?;
                let raids = outcome.counter("xor and pq");
                if raids == 0 {
                    return Err("no PQ was executed".into());
                }
                Ok(format!("{text}, {raids} XOR and PQ"))
            },
            ..COPIES
        },
        Scenario {
            name: "linux-rebind-100-times",
            script: concat!(
                copies!("1000"),
                "rmmod dmatest\n",
                "cd /sys/bus/pci/drivers/ioatdma; n=0; good=0\n",
                "while [ $n -lt 100 ]; do\n",
                "  echo 0000:00:04.0 > unbind; echo 0000:00:04.0 > bind; n=$((n + 1))\n",
                "  [ $(ls /sys/class/dma | wc -l) = 1 ] && good=$((good + 1))\n",
                "done\n",
                "echo \"MARK rebound $good\"\n"
            ),
            judge: |outcome| {
                let text = hold(outcome, 1, 2000)?;
                let rebound = outcome.mark("rebound").unwrap_or("0");
                if rebound != "100" {
                    return Err(format!("{rebound} of 100 rebinds passed the self-test"));
                }
                Ok(format!("{text}, 100 rebinds"))
            },
            ..COPIES
        },
        Scenario {
            name: "linux-disorder",
            engine: &[
                "--timing",
                "per-descriptor=2000,per-byte=200,completion-lag=3000,interrupt-lag=5000,suspend=50000,\
                 reset=100000,jitter=4000,fine=1,seed=11",
            ],
            judge: |outcome| {
                let text = two_thousand(outcome)?;
                Ok(text)
            },
            ..COPIES
        },
        Scenario {
            name: "linux-soak-60000",
            script: copies!("30000"),
            judge: |outcome| {
                let text = hold(outcome, 1, 60_000)?;
                Ok(text)
            },
            ..COPIES
        },
        broken("linux-catches-short-copy", &["--fault", "defect name=short-copy"]),
        broken(
            "linux-catches-early-completion",
            &["--fault", "early-completion descriptor=*/50 steps=100000"],
        ),
        Scenario {
            // Each lost interrupt costs ioatdma's timer, so the guest does not wait for the end.
            script: concat!(
                "insmod /lib/dca.ko; insmod /lib/ioatdma.ko\n",
                "echo \"MARK channels $(ls /sys/class/dma | wc -l)\"\n",
                "insmod /lib/dmatest.ko; cd /sys/module/dmatest/parameters\n",
                "echo 1000 > iterations; echo 2 > threads_per_chan; echo 1 > run\n",
                "n=0; while [ $n -lt 20 ] && [ $(cat run) = Y ]; do sleep 1; n=$((n + 1)); done\n"
            ),
            ..broken("linux-catches-dropped-interrupts", &["--fault", "drop-interrupt interrupt=*/20"])
        },
        broken("linux-catches-reset-pending", &["--fault", "defect name=command-reads-back"]),
        broken("linux-catches-count-off-by-one", &["--fault", "defect name=count-off-by-one"]),
        broken("linux-catches-not-armed", &["--fault", "defect name=not-armed"]),
        broken("linux-catches-word-of-next", &["--fault", "defect name=word-of-next"]),
    ]
}

/// One descriptor failed: Linux gave up what was pending then, reset the channel, and the second two thousand copies
/// held.
fn recovers(outcome: &Outcome) -> Result<String, String> {
    let sum = summary(outcome);
    let halts = outcome.counter("halts");
    if halts != 1 {
        return Err(format!("the engine halted {halts} times"));
    }
    let threads: Vec<bool> = outcome
        .serial
        .lines()
        .filter(|line| line.contains(": summary 1000 tests, "))
        .map(|line| line.contains(" 0 failures"))
        .collect();
    // dmatest notices the copy that was given up, because its bytes are not there.
    if !matches!(threads[..], [_, _, true, true]) || !(1..=8).contains(&sum.failures) {
        return Err(format!("{} failures, clean threads: {threads:?}", sum.failures));
    }
    if outcome.mark("end").is_none() {
        return Err("the guest did not come to its end".into());
    }
    Ok(format!("halted once, {} of {} copies given up then, none afterwards", sum.failures, sum.tests))
}
