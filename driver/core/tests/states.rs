//! Every command and event in every state, against an engine that answers anything at all; and the page that shows
//! the table.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ioat_core::identity::Identity;
use ioat_core::state::{Answer, Command, answer};
use ioat_core::{Channel, Clock, Engine, Hardware, Patience, PciConfig, Refusal, Registers, Report, State};
use netdma_abi::completion::ARMED;
use proof::proves;

const RING: u64 = 0x1_0000_0000;
const WORD: u64 = 0x2_0000_0040;

/// An engine that answers each read with the next of a list of choices: the search tries them all.
struct Chaos {
    choices: RefCell<Vec<usize>>,
    /// How many answers each read so far could have had.
    widths: RefCell<Vec<usize>>,
    touched: Cell<bool>,
    now: Cell<u64>,
    /// The low half of CHANSTS that was read last, while it is to be read again (1.2).
    half: Cell<Half>,
}

/// How far a read of CHANSTS in halves has come: low, high, low again.
#[derive(Clone, Copy)]
enum Half {
    None,
    Low(u32),
    Again(u32),
}

/// CHANSTS of channel 0 of 1.2, low half; the high one follows.
const CHANSTS_V1: u32 = 0x84;

impl Chaos {
    fn new(choices: Vec<usize>) -> Self {
        Self {
            choices: RefCell::new(choices),
            widths: RefCell::new(Vec::new()),
            touched: Cell::new(false),
            now: Cell::new(0),
            half: Cell::new(Half::None),
        }
    }

    fn pick<T: Copy>(&self, answers: &[T]) -> T {
        self.touched.set(true);
        let turn = self.widths.borrow().len();
        self.widths.borrow_mut().push(answers.len());
        let choice = self.choices.borrow().get(turn).copied().unwrap_or(0);
        answers[choice]
    }

    /// The next list of choices, as an odometer counts; `None` after the last.
    fn next(&self) -> Option<Vec<usize>> {
        let widths = self.widths.borrow();
        let mut choices: Vec<usize> =
            (0..widths.len()).map(|turn| self.choices.borrow().get(turn).copied().unwrap_or(0)).collect();
        while let Some(last) = choices.pop() {
            if last + 1 < widths[choices.len()] {
                choices.push(last + 1);
                return Some(choices);
            }
        }
        None
    }
}

impl Registers for Chaos {
    fn read8(&self, _offset: u32) -> u8 {
        self.pick(&[0x00, 0x20, 0xFF])
    }
    fn read16(&self, _offset: u32) -> u16 {
        self.pick(&[0, 0x100, u16::MAX])
    }
    fn read32(&self, offset: u32) -> u32 {
        match (offset, self.half.get()) {
            (CHANSTS_V1, Half::Again(low)) => {
                self.half.set(Half::None);
                low
            }
            (CHANSTS_V1, _) => {
                let low = self.pick(&[0, 1, 2, 3, u32::MAX]);
                self.half.set(Half::Low(low));
                low
            }
            (_, Half::Low(low)) => {
                self.half.set(Half::Again(low));
                (RING >> 32) as u32
            }
            _ => self.pick(&[0, 0x101, u32::MAX]),
        }
    }
    fn read64(&self, _offset: u32) -> u64 {
        self.pick(&[RING, RING | 1, RING | 2, RING | 3, 4, u64::MAX])
    }
    fn write8(&self, _offset: u32, _value: u8) {
        self.touched.set(true);
    }
    fn write16(&self, _offset: u32, _value: u16) {
        self.touched.set(true);
    }
    fn write32(&self, _offset: u32, _value: u32) {
        self.touched.set(true);
    }
    fn write64(&self, _offset: u32, _value: u64) {
        self.touched.set(true);
    }
}

impl PciConfig for Chaos {
    fn read16(&self, _offset: u16) -> Option<u16> {
        Some(0x0006)
    }
    fn write16(&self, _offset: u16, _value: u16) -> Option<()> {
        Some(())
    }
    fn read32(&self, _offset: u16) -> Option<u32> {
        None
    }
    fn write32(&self, _offset: u16, _value: u32) -> Option<()> {
        None
    }
}

/// Each pause uses up the whole patience, so that every wait is two looks.
struct Hasty<'a, const PASSIVE: bool>(&'a Chaos);

impl<const PASSIVE: bool> Clock for Hasty<'_, PASSIVE> {
    const PATIENCE: Patience = if PASSIVE { Patience::PASSIVE } else { Patience::DISPATCH };
    fn now_us(&self) -> u64 {
        self.0.now.get()
    }
    fn pause_us(&self, _us: u32) {
        self.0.now.set(self.0.now.get() + 1_000_000);
    }
}

/// What can happen to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Command(Command),
    Interrupt,
    Rearm,
    Watchdog,
    Worker,
    /// The engine writes the completion word.
    Word(u64),
    BringUp,
    ShutDown,
    Removal,
}

const HAPPENINGS: [Happening; 18] = [
    Happening::Command(Command::Attach),
    Happening::Command(Command::Start),
    Happening::Command(Command::Append),
    Happening::Command(Command::Suspend),
    Happening::Command(Command::Resume),
    Happening::Command(Command::Abort),
    Happening::Command(Command::Reset),
    Happening::Command(Command::Detach),
    Happening::Interrupt,
    Happening::Rearm,
    Happening::Watchdog,
    Happening::Worker,
    Happening::Word(RING),
    Happening::Word(RING | 3),
    Happening::Word(u64::MAX),
    Happening::BringUp,
    Happening::ShutDown,
    Happening::Removal,
];

/// Carries it out; gives what a command refused, and what was reported.
fn happen(
    happening: Happening,
    channel: &mut Channel,
    chaos: &Chaos,
    word: &AtomicU64,
) -> (Option<Refusal>, Report) {
    let dispatch = &Hardware { registers: chaos, config: chaos, clock: Hasty::<false>(chaos) };
    let passive = &Hardware { registers: chaos, config: chaos, clock: Hasty::<true>(chaos) };
    let command = match happening {
        Happening::Command(command) => command,
        Happening::Interrupt => return (None, channel.service(dispatch, word)),
        Happening::Rearm => return (None, channel.rearm(dispatch, word)),
        Happening::Watchdog => return (None, channel.watch(dispatch, word)),
        Happening::Worker => {
            channel.finish_stopping(passive);
            return (None, Report::Nothing);
        }
        Happening::Word(value) => {
            word.store(value, Ordering::Relaxed);
            return (None, Report::Nothing);
        }
        Happening::BringUp => {
            let _ = channel.bring_up(passive);
            return (None, Report::Nothing);
        }
        Happening::ShutDown => {
            let _ = channel.shut_down(passive);
            return (None, Report::Nothing);
        }
        Happening::Removal => {
            channel.remove(Some(word));
            return (None, Report::Nothing);
        }
    };
    let result = match command {
        Command::Attach => channel.attach(dispatch, WORD),
        Command::Start => {
            word.store(ARMED, Ordering::Relaxed);
            channel.start(dispatch, word, RING, 1)
        }
        Command::Append => channel.append(dispatch, RING, 1),
        Command::Suspend => channel.suspend(dispatch, word),
        Command::Resume => channel.resume(dispatch),
        Command::Abort => channel.abort(dispatch, word),
        Command::Reset => channel.reset(dispatch, word),
        Command::Detach => {
            channel.detach(dispatch);
            return (None, Report::Nothing);
        }
    };
    (result.err(), Report::Nothing)
}

/// Everything that decides what a channel does next; engine, count of descriptors and last error do not.
fn key(channel: &Channel, word: u64) -> String {
    let mut text = format!("{channel:?} {word:x}");
    text.drain(..text.find("state: ").unwrap());
    for (from, to) in [("posted: ", "seen: "), ("last_error: ", "unreported: ")] {
        text.drain(text.find(from).unwrap()..text.find(to).unwrap());
    }
    text
}

fn fresh(device: u16) -> Channel {
    let identity = Identity::of(0x8086, device, netdma_abi::Version::V2_1).unwrap();
    struct Constants(u8);
    impl Registers for Constants {
        fn read8(&self, offset: u32) -> u8 {
            match offset {
                0x08 => self.0,
                0x00 => 1,
                _ => 20,
            }
        }
        fn read16(&self, _: u32) -> u16 {
            0
        }
        fn read32(&self, _: u32) -> u32 {
            0
        }
        fn read64(&self, _: u32) -> u64 {
            0
        }
        fn write8(&self, _: u32, _: u8) {}
        fn write16(&self, _: u32, _: u16) {}
        fn write32(&self, _: u32, _: u32) {}
        fn write64(&self, _: u32, _: u64) {}
    }
    let version = identity.device.platform.version.0;
    Channel::new(Engine::probe(&Constants(version), &identity).unwrap(), 0)
}

/// The two kinds of engine: one with a counter, one that is driven by commands.
const DEVICES: [u16; 2] = [0x0B00, 0x1A38];

/// What the search has seen: for each state and happening, the states that it led to and what it reported.
type Seen = BTreeMap<(&'static str, usize), BTreeSet<(&'static str, &'static str)>>;

/// Tries every sequence of eight happenings on the engine `device`, with every answer of the hardware to each read.
fn search(device: u16, seen: &mut Seen) {
    let untouchable = [State::Down, State::Stopping, State::Lost, State::Gone];
    let mut known = BTreeSet::new();
    let mut border = vec![(fresh(device), ARMED)];
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for depth in 0..8 {
        let mut next = Vec::new();
        for (start, word_before) in border {
            for (number, happening) in HAPPENINGS.into_iter().enumerate() {
                let mut choices = Some(Vec::new());
                while let Some(tried) = choices {
                    let chaos = Chaos::new(tried);
                    let word = AtomicU64::new(word_before);
                    let mut channel = start.clone();
                    let (refused, report) = happen(happening, &mut channel, &chaos, &word);
                    let context =
                        || format!("{happening:?} on {start:?} with {:?} -> {channel:?}", chaos.choices);

                    if let Happening::Command(command) = happening {
                        if let Answer::Refuse(why) = answer(start.state(), command) {
                            assert_eq!(refused, Some(why), "{}", context());
                            assert!(!chaos.touched.get(), "a refusal touches nothing: {}", context());
                        }
                        if refused == Some(Refusal::Expired) {
                            assert_eq!(channel.state(), State::Stopping, "{}", context());
                        }
                        if refused == Some(Refusal::Gone) {
                            proves!(crate: H36; assert_eq!(channel.state(), State::Gone, "{}", context()));
                        }
                        if command == Command::Start && refused.is_none() {
                            // The end of the old list would be taken for the new one's.
                            let armed = word.load(Ordering::Relaxed) == ARMED;
                            proves!(crate: R115; assert!(armed, "{}", context()));
                        }
                        let owned = !matches!(happening, Happening::Command(Command::Detach));
                        let stays = untouchable.contains(&start.state());
                        assert!(!(stays && owned && chaos.touched.get()), "{}", context());
                    }
                    // Interrupts never touch an engine that somebody else has, or that is not there.
                    if matches!(happening, Happening::Interrupt | Happening::Rearm | Happening::Watchdog) {
                        let stays = untouchable.contains(&start.state());
                        assert!(!(stays && chaos.touched.get()), "{}", context());
                    }
                    // A stop is reported with the word in place, once, and by nobody but the service of interrupts.
                    if report == Report::Stopped {
                        let halted = word.load(Ordering::Relaxed) & 7 == 3;
                        proves!(crate: R147, R196, R204; assert!(halted, "{}", context()));
                        assert!(!channel.wants_report(), "{}", context());
                        let again = channel.clone().service(
                            &Hardware { registers: &chaos, config: &chaos, clock: Hasty::<false>(&chaos) },
                            &word,
                        );
                        assert_eq!(again, Report::Nothing, "{}", context());
                    }

                    let told = match report {
                        Report::Nothing => "",
                        Report::Completed(_) => "completed",
                        Report::Stopped => "stopped",
                    };
                    let from = (start.state().name(), number);
                    seen.entry(from).or_default().insert((channel.state().name(), told));

                    if known.insert(key(&channel, word.load(Ordering::Relaxed))) {
                        *reached.entry(channel.state().name().to_owned()).or_default() += 1;
                        next.push((channel, word.load(Ordering::Relaxed)));
                    }
                    choices = chaos.next();
                }
            }
        }
        border = next;
        assert!(!border.is_empty() || depth > 3, "the search ended at once");
    }
    let states: Vec<&str> = reached.keys().map(String::as_str).collect();
    assert_eq!(states.len(), State::ALL.len(), "{device:04x}: every state was reached, not only {states:?}");
}

/// The search on both kinds of engine, done once for all tests.
fn search_all() -> &'static Seen {
    static SEEN: OnceLock<Seen> = OnceLock::new();
    SEEN.get_or_init(|| {
        let mut seen = Seen::new();
        for device in DEVICES {
            search(device, &mut seen);
        }
        seen
    })
}

#[test]
fn no_sequence_of_eight_happenings_finds_an_unspecified_answer() {
    let seen = search_all();
    for state in State::ALL {
        for (number, happening) in HAPPENINGS.iter().enumerate() {
            assert!(seen.contains_key(&(state.name(), number)), "{state:?} never met {happening:?}");
        }
    }
    // Nothing but a new start of the device brings back one that has left.
    for (&(state, number), outcomes) in seen {
        if state == State::Gone.name() {
            let stays = outcomes.iter().all(|(after, _)| *after == State::Gone.name());
            assert!(
                stays || HAPPENINGS[number] == Happening::BringUp,
                "{:?}: {outcomes:?}",
                HAPPENINGS[number]
            );
        }
    }
}

/// The events of the second table, and how it names them.
const EVENTS: [(Happening, &str); 7] = [
    (Happening::Interrupt, "interrupt"),
    (Happening::Rearm, "re-arm"),
    (Happening::Watchdog, "watchdog"),
    (Happening::Worker, "stop finished at PASSIVE_LEVEL"),
    (Happening::BringUp, "bring up"),
    (Happening::ShutDown, "shut down"),
    (Happening::Removal, "removal"),
];

/// Every event in every state, as the search has seen it.
fn event_table(seen: &Seen) -> String {
    let mut table = String::from(
        "\n## Events\n\nWhat the search over all sequences of eight commands and events found, whatever the hardware answered, on an engine \
         with a counter and on one of 1.2: the states that an event leads to, and what it has the driver report. \
         Everything else was never seen.\n\n| State |",
    );
    for (_, name) in EVENTS {
        let _ = write!(table, " {name} |");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(EVENTS.len()));
    for state in State::ALL {
        let _ = write!(table, "\n| {} |", state.name());
        for (event, _) in EVENTS {
            let number = HAPPENINGS.iter().position(|happening| *happening == event).unwrap();
            let outcomes = &seen[&(state.name(), number)];
            let after: BTreeSet<&str> = outcomes.iter().map(|(after, _)| *after).collect();
            let told: BTreeSet<&str> =
                outcomes.iter().map(|(_, told)| *told).filter(|told| !told.is_empty()).collect();
            let after: Vec<&str> = after.into_iter().collect();
            let text = if after == [state.name()] {
                "stays".to_owned()
            } else {
                format!("→ {}", after.join(", "))
            };
            let told: Vec<&str> = told.into_iter().collect();
            let told = if told.is_empty() { String::new() } else { format!("; reports {}", told.join(", ")) };
            let _ = write!(table, " {text}{told} |");
        }
    }
    table.push('\n');
    table
}

/// What a picture calls a happening; nothing for those that lead from every state to one and the same, and for the word,
/// which leads nowhere by itself.
fn label(happening: Happening) -> Option<String> {
    match happening {
        Happening::Command(command) => Some(format!("{command:?}").to_lowercase()),
        Happening::Word(_) | Happening::BringUp | Happening::ShutDown | Happening::Removal => None,
        event => EVENTS.iter().find(|(known, _)| *known == event).map(|(_, name)| (*name).to_owned()),
    }
}

/// Every way from one state to another that the search has seen, but for those that the text below the picture names.
fn picture(seen: &Seen) -> String {
    let mut picture = String::from(
        "```mermaid\nstateDiagram-v2\n    [*] --> down\n    down --> ready: bring up\n    lost --> ready: bring up\n",
    );
    for from in State::ALL {
        for to in State::ALL.into_iter().filter(|to| ![from, State::Gone].contains(to)) {
            let leads =
                |number: &usize| seen[&(from.name(), *number)].iter().any(|(after, _)| *after == to.name());
            let labels: Vec<String> =
                (0..HAPPENINGS.len()).filter(leads).filter_map(|number| label(HAPPENINGS[number])).collect();
            if !labels.is_empty() {
                let _ = writeln!(picture, "    {} --> {}: {}", from.name(), to.name(), labels.join(", "));
            }
        }
    }
    picture.push_str("```\n");
    picture
}

/// What a command does in a state, in words, and the state that it leads to when the hardware does as it is told.
fn outcome(state: State, command: Command) -> (String, State) {
    let (text, after) = match answer(state, command) {
        Answer::Refuse(refusal) => return (format!("refused: {}", refusal.name()), state),
        Answer::Silence => return ("silence; state stays".into(), state),
        Answer::Already => return ("nothing to do".into(), state),
        Answer::Program => ("program", State::Ready),
        Answer::Launch => ("launch", State::Running),
        Answer::Displace => ("suspend, launch", State::Running),
        Answer::RecoverAndLaunch => ("reset, launch", State::Running),
        Answer::Ring => ("raise the count", state),
        Answer::Suspend => ("suspend", State::Suspended),
        Answer::Resume => ("resume", State::Running),
        Answer::Halt => ("abort", State::Halted),
        Answer::Reset => ("reset, program", State::Ready),
    };
    (if after == state { text.into() } else { format!("{text} → {}", after.name()) }, after)
}

/// docs/channel-states.md.
fn page() -> String {
    let seen = search_all();
    let mut page = String::from(
        "# Channel states of ioatdma.sys\n\n\
         Made from the table in `driver/core/src/state.rs` by the test `the_page_shows_the_table` of ioat-core; run it \
         with `UPDATE_DOCS=1` after a change. The picture shows every way from one state to another that the search \
         over all sequences of eight commands and events has found, whatever the hardware answered.\n\n",
    );
    page.push_str(&picture(seen));
    page.push_str(
        "\nBring-up leads from every state to `ready`, or to `down` when the engine does not come up; shut-down from every \
         state but `gone` to `down`; a removal, and an answer of all ones, from every state that touches the engine to `gone`. \
         `stopping` is entered when a stop takes longer than 50 µs at DISPATCH_LEVEL.\n\n| State |",
    );
    for command in Command::ALL {
        let _ = write!(page, " {} |", format!("{command:?}").to_lowercase());
    }
    page.push_str("\n|---|");
    page.push_str(&"---|".repeat(Command::ALL.len()));
    for state in State::ALL {
        let _ = write!(page, "\n| {} |", state.name());
        for command in Command::ALL {
            let (text, after) = outcome(state, command);
            let number = HAPPENINGS.iter().position(|happening| *happening == Happening::Command(command));
            let found = &seen[&(state.name(), number.expect("every command happens"))];
            assert!(found.iter().any(|(name, _)| *name == after.name()), "{state:?}, {command:?}: {found:?}");
            let _ = write!(page, " {text} |");
        }
    }
    page.push('\n');
    page.push_str(&event_table(seen));
    page
}

#[test]
fn the_page_shows_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/channel-states.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page(), "docs/channel-states.md is out of date: run this test with UPDATE_DOCS=1");
}
