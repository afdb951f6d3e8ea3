//! netdmactl at work on the real images: what it shows is what the engine model has counted, and its exit code is its
//! verdict.

#![forbid(unsafe_code)]

use std::ffi::OsString;

use ioat_model::FaultPlan;
use machine::client::ANY_CHANNEL;
use machine::hosted::Hosted;
use machine::lab::{Failure, Lab, Setup};
use netdmactl::{BAD, CANNOT, Console, GOOD};
use serde_json::Value;

/// What a command printed, and its exit code.
struct Outcome {
    code: u8,
    out: String,
    err: String,
}

/// Runs netdmactl with these words on the machine.
fn ctl(lab: &mut Lab, words: &[&str]) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { out: &mut out, err: &mut err };
    let words = words.iter().map(OsString::from);
    let code = netdmactl::run(words, move || Ok(Box::new(Hosted::new(lab))), &mut console);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Outcome { code, out: text(out), err: text(err) }
}

/// The same, which must end with `code`; the output.
#[track_caller]
fn expect(lab: &mut Lab, code: u8, words: &[&str]) -> String {
    let outcome = ctl(lab, words);
    assert_eq!(outcome.code, code, "{words:?}\n{}{}", outcome.out, outcome.err);
    outcome.out
}

/// The same with `--json`.
#[track_caller]
fn json(lab: &mut Lab, code: u8, words: &[&str]) -> Value {
    let words = [&["--json"], words].concat();
    serde_json::from_str(&expect(lab, code, &words)).expect("JSON")
}

/// The one line of an error.
#[track_caller]
fn error(lab: &mut Lab, words: &[&str]) -> String {
    let outcome = ctl(lab, words);
    assert_eq!(outcome.code, CANNOT, "{words:?}\n{}{}", outcome.out, outcome.err);
    assert_eq!(outcome.out, "", "an error prints no result");
    let line = outcome.err.strip_prefix("error: ").expect("an error").trim_end();
    assert!(!line.contains('\n'), "{line}");
    line.to_owned()
}

/// A machine whose first engine misbehaves.
fn faulty(plan: &str) -> Result<Lab, Failure> {
    let plan: FaultPlan = plan.parse().expect("a fault plan");
    Setup::new(2)?.faults(plan).boot()
}

#[test]
fn list_shows_every_engine_and_channel() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let list = json(&mut lab, GOOD, &["list"]);
    let engines = list["engines"].as_array().expect("engines");
    assert_eq!(engines.len(), 2);
    assert_eq!((&engines[0]["place"], &engines[0]["id"]), (&"00:04.0".into(), &"8086:6f20".into()));
    assert_eq!((&engines[1]["place"], &engines[1]["id"]), (&"00:04.1".into(), &"8086:6f21".into()));
    assert_eq!(engines[0]["hardware_version"], "3.2");
    assert_eq!(engines[1]["channels"][0]["channel"], "1.0");

    let text = expect(&mut lab, GOOD, &["list"]);
    for words in ["00:04.1", "8086:6f21", "one per channel", "0.0", "1.0", "interface 2.1"] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    Ok(())
}

#[test]
fn test_passes_on_a_faithful_engine_and_counts_what_the_engine_counts() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let self_test = [0, 1].map(|number| lab.engines[number].channel(0).bytes);
    let outcome = ctl(&mut lab, &["--json", "test", "--bytes", "2M"]);
    assert_eq!(outcome.code, GOOD, "{}", outcome.out);
    assert!(outcome.err.contains("100 % copied and checked"), "{}", outcome.err);
    let verdict: Value = serde_json::from_str(&outcome.out).expect("JSON");
    assert_eq!(verdict["good"], true);
    for number in [0, 1] {
        let channel = &verdict["channels"][number];
        assert_eq!(channel["channel"], format!("{number}.0"));
        let copied = lab.engines[number].channel(0).bytes - self_test[number];
        assert_eq!((channel["bytes"].as_u64(), copied), (Some(2 << 20), 2 << 20));
    }
    let one = json(&mut lab, GOOD, &["test", "--engine", "1", "--bytes", "64K"]);
    assert_eq!(one["channels"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["channels"][0]["channel"], "1.0");
    assert!(expect(&mut lab, GOOD, &["test", "--bytes", "64K"]).contains("PASSED"));
    Ok(())
}

#[test]
fn test_finds_one_wrong_bit_and_names_the_engine() -> Result<(), Failure> {
    let mut lab = faulty("flip-bit copy=100 bit=13")?;
    let text = expect(&mut lab, BAD, &["test", "--bytes", "2M"]);
    assert!(text.contains("FAILED") && text.contains("1 wrong bit"), "{text}");
    let bad: Vec<&str> = text.lines().filter(|line| line.ends_with("BAD")).collect();
    assert!(matches!(bad[..], [line] if line.trim_start().starts_with("0.0")), "{text}");
    Ok(())
}

#[test]
fn errors_names_the_bit_of_a_halt_and_is_clean_before() -> Result<(), Failure> {
    let mut lab = faulty("halt descriptor=100 error=read-data")?;
    assert!(expect(&mut lab, GOOD, &["errors"]).contains("no errors on 2 channels"));
    let text = expect(&mut lab, BAD, &["test", "--bytes", "2M"]);
    assert!(text.contains("`netdmactl errors`"), "the failed copy says where to look:\n{text}");
    let text = expect(&mut lab, BAD, &["errors"]);
    assert!(
        text.contains("0.0: halted once") && text.contains("read-data") && !text.contains("1.0:"),
        "{text}"
    );
    assert_eq!(json(&mut lab, BAD, &["errors"])["findings"][0]["channel"], "0.0");
    Ok(())
}

#[test]
fn errors_tells_of_completions_that_only_the_watchdog_found() -> Result<(), Failure> {
    let mut lab = faulty("drop-interrupt interrupt=5")?;
    expect(&mut lab, GOOD, &["test", "--bytes", "2M"]);
    let text = expect(&mut lab, BAD, &["errors"]);
    assert!(text.contains("0.0: completed work was found once without an interrupt"), "{text}");
    Ok(())
}

#[test]
fn reset_resets_the_channel_that_is_named_and_proves_it() -> Result<(), Failure> {
    // Hardware 1.2: four channels in one function.
    let mut setup = Setup::new(1)?;
    setup.engines = vec![ioat_model::Options::function_of(0x8086, 0x1A38, 0)?];
    let mut lab = setup.boot()?;
    let before: Vec<u64> = (0..4).map(|number| lab.engines[0].channel(number).resets).collect();
    let copied: Vec<u64> = (0..4).map(|number| lab.engines[0].channel(number).bytes).collect();
    let text = expect(&mut lab, GOOD, &["reset", "0.2"]);
    assert!(text.contains("channel 0.2 was reset and works"), "{text}");
    for number in 0..4 {
        let channel = lab.engines[0].channel(number);
        let (resets, bytes) =
            (channel.resets - before[usize::from(number)], channel.bytes - copied[usize::from(number)]);
        assert_eq!((resets > 0, bytes > 0), (number == 2, number == 2), "channel {number}");
    }
    Ok(())
}

#[test]
fn reset_refuses_the_channels_of_others_and_those_that_are_not_there() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let other = lab.open()?;
    let channel = other.open_channel(&mut lab, ANY_CHANNEL)?;
    assert!(error(&mut lab, &["reset", "0.0"]).contains("belongs to another client"));
    assert!(error(&mut lab, &["reset", "0.7"]).contains("there is no channel 0.7"));
    assert!(error(&mut lab, &["reset", "3.0"]).contains("there is no channel 3.0"));
    other.copy_verified(&mut lab, channel.number, 10_000, 1)?;
    other.close(&mut lab)?;
    expect(&mut lab, GOOD, &["reset", "0.0"]);
    Ok(())
}

#[test]
fn bench_measures_every_size_and_draws_what_it_measured() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let picture = std::env::temp_dir().join(format!("netdmactl-{}.svg", std::process::id()));
    let path = picture.display().to_string();
    let measured = json(&mut lab, GOOD, &["bench", "--repeat", "1", "--plot", &path]);
    let sizes: Vec<u64> = measured["sizes"]
        .as_array()
        .expect("sizes")
        .iter()
        .filter_map(|point| point["size"].as_u64())
        .collect();
    assert_eq!(sizes, [256, 1024, 4096, 16384, 65536, 262_144, 1 << 20]);
    assert!(measured["caveat"].as_str().expect("a caveat").contains("model"));
    let drawn = std::fs::read_to_string(&picture).expect("the picture");
    std::fs::remove_file(&picture).expect("the picture");
    assert!(
        drawn.contains("channel 0.0") && drawn.contains("1 MiB") && drawn.contains("break-even"),
        "{drawn}"
    );
    assert!(error(&mut lab, &["bench", "--engine", "5"]).contains("engine 5 has no free channel"));
    let nowhere = error(&mut lab, &["bench", "--repeat", "1", "--plot", "/no/such/folder/a.svg"]);
    assert!(nowhere.contains("/no/such/folder/a.svg"), "{nowhere}");
    Ok(())
}

#[test]
fn stats_shows_the_change_from_the_second_reading_on() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    expect(&mut lab, GOOD, &["test", "--bytes", "64K"]);
    let text = expect(&mut lab, GOOD, &["stats", "--watch", "1", "--count", "2"]);
    assert_eq!(text.matches("Provider").count(), 2, "{text}");
    assert!(text.contains(" +0"), "{text}");
    let counters = json(&mut lab, GOOD, &["stats"]);
    assert_eq!(counters["providers"][0]["bytes"], 64 << 10);
    let interrupts = lab.engines[0].channel(0).interrupts_signalled;
    assert_eq!(counters["channels"][0]["interrupts"].as_u64(), Some(interrupts));
    Ok(())
}

#[test]
fn what_is_missing_is_named_with_the_remedy() -> Result<(), Failure> {
    let mut lab = Setup::new(0)?.power_on()?;
    lab.add_client_device()?;
    lab.install("netdma")?;
    lab.install("netdmatest")?;
    assert!(error(&mut lab, &["list"]).contains("install netdma.inf, then ioatdma.inf"));
    assert!(error(&mut lab, &["test"]).contains("no provider has a free channel"));
    assert!(error(&mut lab, &["device", "add"]).contains("only on Windows"));

    let mut lab = Setup::new(1)?.power_on()?;
    lab.install("netdma")?;
    lab.install("ioatdma")?;
    assert!(expect(&mut lab, GOOD, &["list"]).contains("working"));
    assert!(
        !expect(&mut lab, GOOD, &["stats"]).contains("Provider"),
        "without the client no provider's counters"
    );
    assert!(error(&mut lab, &["test"]).contains("`netdmactl device add`"));
    Ok(())
}

#[test]
fn wrong_words_are_refused_before_any_device_is_asked() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { out: &mut out, err: &mut err };
    let words = ["lst"].map(OsString::from);
    let code = netdmactl::run(words, || panic!("nothing is to be asked"), &mut console);
    assert_eq!((code, out), (CANNOT, Vec::new()));
    assert!(String::from_utf8_lossy(&err).contains("there is no command lst"));
}
