//! The states of a channel, and the answer to every command in every state.
//!
//! ```text
//!             bring up                start                  suspend
//!   Down ----------------> Ready ---------------> Running ------------> Suspended
//!                            ^                     |  ^  ^------------------'
//!                            | reset        error  |  |       resume, start
//!                            |           .---------'  | start
//!                            |           v            |
//!                            '------ Faulted, Halted -'      abort: Halted
//!
//!   a stop that outlives its wait: Stopping -> Halted, or Lost when the reset never ends
//!   all-ones, or surprise removal:  Gone, for ever
//! ```

/// Where a channel is, as its driver sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not in D0, or never brought up. Registers are not to be touched.
    Down,
    /// Quiet and programmed: as right after allocation.
    Ready,
    /// Started. The engine may be busy or have finished everything.
    Running,
    /// Suspended by command.
    Suspended,
    /// Stopped by an abort; nothing is wrong.
    Halted,
    /// Stopped by an error of the engine, which stays until a start or a reset clears it.
    Faulted,
    /// A command outlived its wait at DISPATCH_LEVEL; a worker at PASSIVE_LEVEL owns the registers (D18).
    Stopping,
    /// The engine did not even finish a reset; its bus mastering is off until the next bring-up.
    Lost,
    /// The device has left.
    Gone,
}

impl State {
    /// Every state, in the order above.
    pub const ALL: [Self; 9] = [
        Self::Down,
        Self::Ready,
        Self::Running,
        Self::Suspended,
        Self::Halted,
        Self::Faulted,
        Self::Stopping,
        Self::Lost,
        Self::Gone,
    ];

    /// The name that traces and the debugger print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Halted => "halted",
            Self::Faulted => "faulted",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
            Self::Gone => "gone",
        }
    }
}

/// What the interface asks of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// `AllocateDmaChannel`.
    Attach,
    /// `StartDma`.
    Start,
    /// `AppendDma`.
    Append,
    /// `SuspendDma`.
    Suspend,
    /// `ResumeDma`.
    Resume,
    /// `AbortDma`.
    Abort,
    /// `ResetChannel`.
    Reset,
    /// `FreeDmaChannel`.
    Detach,
}

impl Command {
    /// Every command, in the order above.
    pub const ALL: [Self; 8] = [
        Self::Attach,
        Self::Start,
        Self::Append,
        Self::Suspend,
        Self::Resume,
        Self::Abort,
        Self::Reset,
        Self::Detach,
    ];
}

/// Why a command was not carried out. Nothing of it has happened, with the one exception of [`Self::Expired`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The channel is not in D0.
    NotPowered,
    /// The channel was never started, or not since it stopped.
    NotStarted,
    /// The channel is not suspended.
    NotSuspended,
    /// The channel is suspended.
    Suspended,
    /// An earlier command is still being finished.
    Stopping,
    /// The engine no longer answers commands.
    Lost,
    /// The device has left.
    Gone,
    /// The descriptor address is not a multiple of 64, or beyond the engine's reach, or the count is not 1 to
    /// 65535.
    BadList,
    /// The engine did not stop within the wait; the channel is now [`State::Stopping`].
    Expired,
}

impl Refusal {
    /// The name that traces print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotPowered => "not-powered",
            Self::NotStarted => "not-started",
            Self::NotSuspended => "not-suspended",
            Self::Suspended => "suspended",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
            Self::Gone => "gone",
            Self::BadList => "bad-list",
            Self::Expired => "expired",
        }
    }
}

/// What a command does in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Program completion address and control; recover first if the engine is not quiet. Then [`State::Ready`].
    Program,
    /// Write chain address and count: the engine is quiet. Then [`State::Running`].
    Launch,
    /// Suspend what runs, then launch (R113, R114).
    Displace,
    /// Clear the error and reset, then launch.
    RecoverAndLaunch,
    /// Raise the count.
    Ring,
    /// Let the current descriptor finish and stop. Then [`State::Suspended`].
    Suspend,
    /// Go on. Then [`State::Running`].
    Resume,
    /// Stop at once. Then [`State::Halted`].
    Halt,
    /// Stop at once, reset and program. Then [`State::Ready`].
    Reset,
    /// Take interrupts and error reports from the channel; its state stays.
    Silence,
    /// Nothing to do; the same success as the command that led here.
    Already,
    /// Nothing is done.
    Refuse(Refusal),
}

/// The table: the answer to `command` in `state` (every pair has one).
pub const fn answer(state: State, command: Command) -> Answer {
    use Answer::{
        Already, Displace, Halt, Launch, Program, RecoverAndLaunch, Refuse, Reset, Resume, Ring, Silence,
        Suspend,
    };
    match (state, command) {
        (State::Down | State::Stopping | State::Lost | State::Gone, Command::Detach) => Already,
        (_, Command::Detach) => Silence,
        (State::Down, _) => Refuse(Refusal::NotPowered),
        (State::Stopping, _) => Refuse(Refusal::Stopping),
        (State::Lost, _) => Refuse(Refusal::Lost),
        (State::Gone, _) => Refuse(Refusal::Gone),

        (_, Command::Attach) => Program,

        (State::Ready | State::Suspended | State::Halted, Command::Start) => Launch,
        (State::Running, Command::Start) => Displace,
        (State::Faulted, Command::Start) => RecoverAndLaunch,

        (State::Running, Command::Append) => Ring,
        (State::Suspended, Command::Append) => Refuse(Refusal::Suspended),
        (_, Command::Append) => Refuse(Refusal::NotStarted),

        (State::Running, Command::Suspend) => Suspend,
        (State::Suspended, Command::Suspend) => Already,
        (_, Command::Suspend) => Refuse(Refusal::NotStarted),

        (State::Suspended, Command::Resume) => Resume,
        (_, Command::Resume) => Refuse(Refusal::NotSuspended),

        (State::Running | State::Suspended, Command::Abort) => Halt,
        (State::Halted | State::Faulted, Command::Abort) => Already,
        (State::Ready, Command::Abort) => Refuse(Refusal::NotStarted),

        (_, Command::Reset) => Reset,
    }
}
