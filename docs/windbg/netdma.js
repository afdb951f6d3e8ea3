"use strict";
// WinDbg: what netdma.sys and ioatdma.sys are doing, read from a live kernel or a crash dump.
//
//     .scriptload C:\path\netdma.js
//     !netdma_providers                 engines that registered, and how they stand
//     !netdma_channels                  channels in use: state, ring positions, counters
//     !netdma_ring 3                    the ring of channel 3, slot by slot
//     !netdma_engine                    ioatdma's side: each engine and its channels
//     !netdma_history                   the last events of every image, oldest first
//     !netdma_history "ioatdma", 20     the last 20 of one image
//
// Each command returns rows that `dx` shows: one line a row, with fields behind it. `dx -g @$netdma_channels()` shows a
// table, and LINQ works: `dx @$netdma_history().Where(e => e.Name == "ChannelHalted")`.
//
// The layout of everything comes from the images' symbols, so those must be the images' own (docs/debugging.md).
//
// What is read may be damaged; that may be why somebody looks. Every walk has an end that does not depend on what is
// read, and what cannot be read or cannot be right is said in the row where it stood.
//
// The functions of the debugger used here are those of the Learn pages "JavaScript Debugger Scripting", "JavaScript Debugger
// Example Scripts" (ExecuteCommand), "Native Debugger Objects in JavaScript Extensions" and "Debugger Data Model Function
// Aliases"; what .enumtag prints is on its page, "Enumerate Secondary Callback Data". An alias is a name of the expression
// evaluator (`@$name`), so a dot cannot stand in it. Nothing newer than ES6 is used: the first page promises no more.

// ---- Limits of what can be right

const __MOST_PAGES = 1024;          // netdma_core::ring::MAX_PAGES
const __MOST_LANES = 16;            // ioat_regs::limits::MAX_CHANNELS
const __SLOTS_PER_PAGE = 64;        // a page of 64-byte descriptors
const __DESCRIPTOR = 64;
const __PAGE = 4096;
const __SLOTS_SHOWN = 32;           // of a ring, unless asked for more
const __HISTORY_RECORDS = 256;      // netdma_events::history::LENGTH
const __HISTORY_RECORD = 64;        // netdma_events::history::RECORD_BYTES and HEADER_BYTES

// ---- Names, each held against the symbols' own by a test

const __PROVIDER_STATES = { 0: "Stopped", 1: "Started", 2: "Stopping", 3: "PoweredDown" };
const __CHANNEL_STATES = {
    0: "Initial", 1: "Armed", 2: "Active", 3: "Idle", 4: "Suspended", 5: "Halted", 6: "ContextLost", 7: "Stopping"
};
const __LANE_STATES = {
    0: "Down", 1: "Ready", 2: "Running", 3: "Suspended", 4: "Halted", 5: "Faulted", 6: "Stopping", 7: "Lost", 8: "Gone"
};
const __INTERRUPT_KINDS = { 0: "none", 1: "shared", 2: "one per channel" };   // ioatdma::engine::KINDS
const __PHASES = { 0: "free or being allocated", 1: "live", 2: "retiring", 3: "provider gone" };
const __COMPLETION_STATES = { 0: "Active", 1: "Idle", 2: "Suspend", 3: "Halted", 4: "Armed" };
const __CONTROL_FLAGS = {
    0x1: "interrupt", 0x2: "source-no-snoop", 0x4: "destination-no-snoop", 0x8: "completion-write", 0x10: "fence",
    0x20: "null", 0x40: "source-page-break", 0x80: "destination-page-break"
};

// CHANERR, ioat.md 2.8: ioat_regs::ChanErr.
const __CHANNEL_ERRORS = {
    0x1: "source-address", 0x2: "destination-address", 0x4: "next-address", 0x8: "descriptor",
    0x10: "chain-address", 0x20: "command", 0x40: "chipset-integrity", 0x80: "dma-integrity", 0x100: "read-data",
    0x200: "write-data", 0x400: "control", 0x800: "length", 0x1000: "completion-address",
    0x2000: "interrupt-configuration", 0x4000: "soft", 0x8000: "unaffiliated", 0x10000: "crc-xor-p", 0x20000: "q",
    0x40000: "count", 0x80000: "dif-all-f", 0x100000: "dif-guard", 0x200000: "dif-application",
    0x400000: "dif-reference", 0x800000: "bundle", 0x1000000: "result-dif-all-f", 0x2000000: "result-dif-guard",
    0x4000000: "result-dif-application", 0x8000000: "result-dif-reference"
};

// ---- Events: written by `cargo xtask events`, from the table in interface/events

// events begin
const __NAMED = [
    { 1: "BadPointer", 2: "BadVersion", 3: "BadFlags", 4: "BadName", 5: "MissingEntryPoint", 6: "UnpairedEntryPoint", 7: "BadChannelCount", 8: "BadAttributes", 9: "NoMemory", 10: "NoAdapter", 11: "RemappedMemory", 12: "AlreadyRegistered", 13: "WrongState", 14: "TooManyProviders", 15: "BadSize" },
    { 1: "BadHandle", 2: "WrongIrql", 3: "WrongState", 4: "CallFromProvider", 5: "UnexpectedDpc", 6: "BadNotification", 7: "CallFromCallback" },
    { 1: "ReadIdentity", 2: "MapRegisters", 3: "QueryBus", 4: "Quiesce", 5: "ClearErrors", 6: "Reset", 7: "Program", 8: "SelfTest", 9: "CreateInterrupts", 10: "Register", 11: "Start", 12: "Publish", 13: "Claim" },
    { 0: "None", 1: "Line", 2: "Msi", 3: "MsiX" },
    { 1: "InterruptKind", 2: "NetDmaVersion", 3: "InterruptDelay", 4: "Watchdog", 5: "SelfTest" },
];
const __EVENTS = {
    100: { name: "InterfaceLoaded", fields: [] },
    101: { name: "InterfaceUnloaded", fields: [] },
    102: { name: "UnloadRefused", fields: [["providers", "n"], ["clients", "n"]] },
    103: { name: "DrainLimitIgnored", fields: [["value", "n"]] },
    110: { name: "ProviderRegistered", fields: [["provider", "n"], ["version", "x"], ["channels", "n"]] },
    111: { name: "RegistrationRefused", fields: [["reason", __NAMED[0]], ["version", "x"], ["detail", "n"]] },
    112: { name: "ProviderStarted", fields: [["provider", "n"], ["channels", "n"], ["hardware", "x"]] },
    113: { name: "StartRefused", fields: [["provider", "n"], ["reason", __NAMED[0]], ["detail", "s"]] },
    114: { name: "RemappedMemoryRefused", fields: [["provider", "n"], ["logical", "x"], ["physical", "x"]] },
    115: { name: "ProviderStopped", fields: [["provider", "n"], ["outstanding", "n"]] },
    116: { name: "ProviderDeregistered", fields: [["provider", "n"]] },
    117: { name: "DrainAborted", fields: [["provider", "n"], ["channel", "n"], ["client", "n"], ["outstanding", "n"]] },
    118: { name: "ProviderPoweredDown", fields: [["provider", "n"], ["channels", "n"]] },
    119: { name: "ProviderPoweredUp", fields: [["provider", "n"], ["channels", "n"]] },
    120: { name: "ClientRegistered", fields: [["client", "n"]] },
    121: { name: "ClientDeregistered", fields: [["client", "n"]] },
    130: { name: "ChannelAllocated", fields: [["provider", "n"], ["channel", "n"], ["client", "n"], ["processor", "n"]] },
    131: { name: "ChannelRefused", fields: [["provider", "n"], ["client", "n"], ["status", "s"]] },
    132: { name: "ChannelFreed", fields: [["provider", "n"], ["channel", "n"], ["client", "n"]] },
    133: { name: "ChannelHalted", fields: [["provider", "n"], ["channel", "n"], ["completed", "x"], ["outstanding", "n"]] },
    134: { name: "ChannelControlFailed", fields: [["provider", "n"], ["channel", "n"], ["status", "s"]] },
    135: { name: "ForeignCompletion", fields: [["provider", "n"], ["channel", "n"], ["word", "x"]] },
    136: { name: "PostFailed", fields: [["provider", "n"], ["channel", "n"], ["status", "s"], ["descriptors", "n"]] },
    140: { name: "BatchPosted", fields: [["channel", "n"], ["descriptors", "n"], ["start", "n"]] },
    150: { name: "CallRefused", fields: [["misuse", __NAMED[1]], ["function", "n"], ["argument", "x"]] },
    200: { name: "DeviceAdded", fields: [["location", "x"], ["id", "x"], ["version", "x"], ["channels", "n"]] },
    201: { name: "UnknownDevice", fields: [["location", "x"], ["id", "x"]] },
    202: { name: "IdentityRead", fields: [["location", "x"], ["version", "x"], ["transfer_limit", "n"], ["capabilities", "x"]] },
    203: { name: "IdentityRefused", fields: [["location", "x"], ["expected", "x"], ["found", "x"]] },
    204: { name: "BringUpFailed", fields: [["location", "x"], ["step", __NAMED[2]], ["status", "s"], ["detail", "x"]] },
    205: { name: "DeviceStarted", fields: [["location", "x"], ["channels", "n"]] },
    206: { name: "DeviceRemoved", fields: [["location", "x"], ["surprise", "n"]] },
    207: { name: "RegisterDefaulted", fields: [["location", "x"], ["channel", "n"]] },
    210: { name: "SelfTestPassed", fields: [["location", "x"], ["channel", "n"]] },
    211: { name: "SelfTestFailed", fields: [["location", "x"], ["channel", "n"], ["status", "x"], ["errors", "x"]] },
    212: { name: "EngineError", fields: [["location", "x"], ["channel", "n"], ["errors", "x"], ["completed", "x"]] },
    213: { name: "ResetTimedOut", fields: [["location", "x"], ["channel", "n"], ["microseconds", "n"]] },
    214: { name: "StopTimedOut", fields: [["location", "x"], ["channel", "n"], ["microseconds", "n"]] },
    215: { name: "LeftoversCleared", fields: [["location", "x"], ["channel", "n"], ["errors", "x"], ["internal_errors", "x"]] },
    216: { name: "ErrorsUnreachable", fields: [["location", "x"], ["channel", "n"]] },
    217: { name: "InterruptMissing", fields: [["location", "x"], ["channel", "n"]] },
    218: { name: "SelfTestWrongData", fields: [["location", "x"], ["channel", "n"], ["offset", "n"]] },
    219: { name: "CompletionRecovered", fields: [["location", "x"], ["channel", "n"], ["completed", "x"]] },
    220: { name: "InterruptsAssigned", fields: [["location", "x"], ["kind", __NAMED[3]], ["messages", "n"], ["channels", "n"]] },
    221: { name: "AffinityRefused", fields: [["location", "x"], ["channel", "n"], ["processor", "n"], ["status", "s"]] },
    222: { name: "SpuriousInterrupt", fields: [["location", "x"], ["attention", "x"]] },
    230: { name: "EngineQuiesced", fields: [["location", "x"], ["channels", "n"], ["state", "n"]] },
    231: { name: "EngineRestored", fields: [["location", "x"], ["channels", "n"]] },
    232: { name: "SettingIgnored", fields: [["location", "x"], ["setting", __NAMED[4]], ["value", "x"]] },
    233: { name: "ChannelClaimed", fields: [["location", "x"], ["channel", "n"]] },
    300: { name: "TestDeviceStarted", fields: [] },
    301: { name: "TestDeviceStopped", fields: [] },
    303: { name: "CopyFailed", fields: [["channel", "n"], ["bytes", "n"], ["status", "s"]] },
    304: { name: "ProviderNotice", fields: [["code", "n"], ["provider", "n"]] },
    305: { name: "InterruptLost", fields: [["channel", "n"], ["found", "n"]] },
    306: { name: "NoProgress", fields: [["channel", "n"], ["outstanding", "n"]] },
};
// events end

// ---- 64-bit values: the debugger's own type above 32 bits, numbers below

// A value as [high, low], both unsigned 32-bit numbers.
function __parts(value) {
    if (typeof value === "number") {
        return [Math.floor(value / 4294967296) >>> 0, value >>> 0];
    }
    return [value.getHighPart() >>> 0, value.getLowPart() >>> 0];
}

function __hex(value) {
    const [high, low] = __parts(value);
    if (high === 0) {
        return "0x" + low.toString(16);
    }
    return "0x" + high.toString(16) + ("00000000" + low.toString(16)).slice(-8);
}

// A count or position as a number. Above 2^53 nothing counted can be right.
function __count(value, what) {
    const [high, low] = __parts(value);
    if (high >= 0x200000) {
        throw new Error(what + " reads " + __hex(value) + ", which cannot be");
    }
    return high * 4294967296 + low;
}

function __decimal(value) {
    const [high, low] = __parts(value);
    return high < 0x200000 ? String(high * 4294967296 + low) : __hex(value);
}

function __same(left, right) {
    const [high, low] = __parts(left);
    const [other_high, other_low] = __parts(right);
    return high === other_high && low === other_low;
}

function __isZero(value) {
    const [high, low] = __parts(value);
    return high === 0 && low === 0;
}

// ---- Objects of the target

// The field of an object that the names lead to.
function __field(object) {
    let at = object;
    for (let index = 1; index < arguments.length; index++) {
        const name = arguments[index];
        const next = at[name];
        if (next === undefined || next === null) {
            throw new Error("no field " + name + ": symbols of another build? `lm v m netdma` shows which are loaded");
        }
        at = next;
    }
    return at;
}

// The number that an object is, whatever is wrapped around it (an atomic, a cell, an enumeration): its bytes.
function __value(object) {
    if (typeof object === "number") {
        return object;
    }
    if (typeof object === "boolean") {
        return object ? 1 : 0;
    }
    if (typeof object.getLowPart === "function") {
        return object;
    }
    const size = __count(object.targetSize, "a size");
    if (size !== 1 && size !== 2 && size !== 4 && size !== 8) {
        throw new Error("a number of " + size + " bytes: symbols of another build?");
    }
    return host.memory.readMemoryValues(object.targetLocation, 1, size)[0];
}

function __valueOf(object) {
    return __value(__field.apply(null, arguments));
}

function __numberOf(object) {
    const name = arguments[arguments.length - 1];
    return __count(__valueOf.apply(null, arguments), name);
}

// The value that an owner of an Arc shares.
function __shared(arc) {
    return __field(arc, "shared", "pointer").dereference().value;
}

function __symbol(module, name) {
    let found = null;
    try {
        found = host.getModuleSymbol(module, name);
    } catch (error) {
        found = null;
    }
    if (found === null || found === undefined) {
        throw new Error(module + "!" + name + " is not known: is " + module + ".sys loaded, and are its symbols? " +
            "`lm v m " + module + "` tells, `.reload /f " + module + ".sys` loads them");
    }
    return found;
}

// What an address points at; `null` for a null pointer.
function __at(address, module, type) {
    return __isZero(address) ? null : host.createTypedObject(address, module, type);
}

// The elements of an `Array` of nt: pointer and length. More than `most` cannot be.
function __elements(array, most, module, type) {
    const length = __numberOf(array, "length");
    if (length > most) {
        throw new Error("an array of " + length + " where at most " + most + " can be");
    }
    const first = __valueOf(array, "values");
    const elements = [];
    if (length === 0) {
        return elements;
    }
    const size = __count(host.createTypedObject(first, module, type).targetSize, "a size");
    for (let index = 0; index < length; index++) {
        elements.push(host.createTypedObject(__sum(first, index * size), module, type));
    }
    return elements;
}

function __sum(address, offset) {
    return typeof address === "number" ? address + offset : address.add(offset);
}

// The entries of a table of netdma.sys that are in use: index and what they hold. An odd generation means in use.
function __entries(table) {
    const entries = __field(table, "__0");
    const size = __count(entries[0].targetSize, "a size");
    const length = Math.min(__count(entries.targetSize, "a size") / size, 65536);
    const used = [];
    for (let index = 0; index < length; index++) {
        const entry = entries[index];
        if ((__parts(__valueOf(entry, "generation"))[1] & 1) === 1) {
            used.push({ index: index, value: __field(entry, "value") });
        }
    }
    return used;
}

// ---- Rows

// One line of output. The debugger shows what toString answers, and the fields when the row is opened.
class __Row {
    toString() {
        return this.__text;
    }
}

function __row(fields, text) {
    const row = new __Row();
    Object.keys(fields).forEach(name => { row[name] = fields[name]; });
    Object.defineProperty(row, "__text", { value: text, enumerable: false });
    return row;
}

// A row for what could not be read.
function __problem(where, error) {
    const text = String(error && error.message ? error.message : error);
    return __row({ Problem: text }, where + ": " + text);
}

// The rows of what `make` answers for each thing, or why there is none.
function __rows(things, where, make) {
    const rows = [];
    for (const thing of things) {
        try {
            const made = make(thing);
            if (made !== null) {
                rows.push(made);
            }
        } catch (error) {
            rows.push(__problem(where(thing), error));
        }
    }
    return rows;
}

// A command: its rows, or one that says why there are none.
function __command(name, none, make) {
    try {
        const rows = make();
        return rows.length === 0 ? [__row({}, none)] : rows;
    } catch (error) {
        return [__problem(name, error)];
    }
}

function __named(names, value) {
    const name = names[value];
    return name === undefined ? "unknown (" + __hex(value) + ")" : name;
}

function __flags(names, value) {
    const set = [];
    let rest = value >>> 0;
    Object.keys(names).forEach(bit => {
        if ((rest & Number(bit)) !== 0) {
            set.push(names[bit]);
            rest = (rest & ~Number(bit)) >>> 0;
        }
    });
    if (rest !== 0) {
        set.push(__hex(rest));
    }
    return set.length === 0 ? "none" : set.join("|");
}

// ---- netdma.sys

function __version(value) {
    return (value >>> 16) + "." + (value & 0xFFFF);
}

function __name(record) {
    const count = Math.min(__numberOf(record, "name", "count"), 64);
    const units = __field(record, "name", "units");
    let text = "";
    for (let index = 0; index < count; index++) {
        text += String.fromCharCode(__count(__value(units[index]), "a character"));
    }
    return text;
}

// The records of the registered providers: [{ index, record }].
function __providers() {
    return __entries(__symbol("netdma", "netdma::provider::PROVIDERS")).map(entry => ({
        index: entry.index,
        record: () => __at(__valueOf(entry.value, "record", "value"), "netdma", "netdma::provider::Record")
    }));
}

function __netdma_providers() {
    return __command("providers", "no provider is registered", () =>
        __rows(__providers(), provider => "provider " + provider.index, provider => {
            const record = provider.record();
            if (record === null) {
                // Claimed, and not registered yet or no more.
                return null;
            }
            const state = __named(__PROVIDER_STATES, __valueOf(record, "state"));
            const fields = {
                Number: provider.index,
                Id: __numberOf(record, "id"),
                Name: __name(record),
                Version: __version(__numberOf(record, "version")),
                State: state,
                Allocated: __numberOf(record, "channels"),
                Channels: __numberOf(record, "limits", "channels"),
                MaximumTransfer: __numberOf(record, "limits", "maximum_transfer_size"),
                Context: __hex(__valueOf(record, "entries", "context"))
            };
            return __row(fields, "provider " + fields.Number + ": id " + fields.Id + ", \"" + fields.Name + "\", version " +
                fields.Version + ", " + state + ", " + fields.Allocated + " of " + fields.Channels + " channels allocated");
        }));
}

// The live channels: [{ index, slot, live }].
function __channels() {
    return __entries(__symbol("netdma", "netdma::channel::CHANNELS")).map(entry => ({
        index: entry.index,
        slot: entry.value,
        live: () => __at(__valueOf(entry.value, "live", "value"), "netdma", "netdma::channel::Live")
    }));
}

// The positions of a ring, checked against each other: they rise, and not by more than the ring holds.
function __positions(ring) {
    const size = __numberOf(ring, "mask") + 1;
    const most = __MOST_PAGES * __SLOTS_PER_PAGE;
    if (size > most || (size & (size - 1)) !== 0) {
        throw new Error("a ring of " + size + " slots, which cannot be: the mask is damaged");
    }
    const positions = {
        size: size,
        told: __numberOf(ring, "told"),
        done: __numberOf(ring, "done"),
        posted: __numberOf(ring, "posted"),
        built: __numberOf(ring, "built")
    };
    const rising = positions.told <= positions.done && positions.done <= positions.posted &&
        positions.posted <= positions.built && positions.built - positions.told <= size;
    positions.doubt = rising ? "" : "positions are out of order: told " + positions.told + ", done " + positions.done +
        ", posted " + positions.posted + ", built " + positions.built;
    return positions;
}

function __netdma_channels() {
    return __command("channels", "no channel is allocated", () =>
        __rows(__channels(), channel => "channel " + channel.index, channel => {
            const live = channel.live();
            if (live === null) {
                const phase = __named(__PHASES, __numberOf(channel.slot, "phase"));
                return __row({ Number: channel.index, Phase: phase }, "channel " + channel.index + ": " + phase);
            }
            const core = __field(live, "channel");
            const at = __positions(__field(core, "ring"));
            const state = __named(__CHANNEL_STATES, __valueOf(core, "state"));
            const statistics = __field(core, "statistics");
            const counter = name => __decimal(__valueOf(statistics, name));
            const fields = {
                Number: channel.index,
                Provider: __numberOf(live, "provider_handle", "index"),
                Client: __numberOf(live, "client", "index"),
                State: state,
                Processor: __numberOf(channel.slot, "cpu"),
                RingSize: at.size,
                InFlight: at.posted - at.done,
                Pending: at.built - at.posted,
                Completed: counter("completed"),
                Failed: counter("failed"),
                Aborted: counter("aborted"),
                Bytes: counter("bytes"),
                Halts: counter("halts"),
                ForeignAddresses: counter("foreign_addresses"),
                Interrupts: __decimal(__valueOf(channel.slot, "interrupts")),
                Address: __hex(__value(__valueOf(channel.slot, "live", "value"))),
                Doubt: at.doubt
            };
            return __row(fields, "channel " + fields.Number + ": provider " + fields.Provider + ", client " + fields.Client +
                ", " + state + ", ring of " + at.size + ", " + fields.InFlight + " in flight, " + fields.Pending +
                " pending, " + fields.Completed + " completed, " + fields.Failed + " failed, " + fields.Halts + " halts" +
                (at.doubt === "" ? "" : "; " + at.doubt));
        }));
}

// The pages of a ring: where the processor and where the engine finds each.
function __pages(memory) {
    return __elements(__field(memory, "pages"), __MOST_PAGES, "netdma", "nt::dma::CommonPage").map(page => ({
        memory: __valueOf(page, "memory"),
        logical: __valueOf(page, "logical")
    }));
}

// The slot whose bus address this is: its number, or -1.
function __slotAt(pages, address) {
    const [high, low] = __parts(address);
    for (let index = 0; index < pages.length; index++) {
        const [page_high, page_low] = __parts(pages[index].logical);
        if (page_high === high && ((page_low ^ low) >>> 12) === 0) {
            return index * __SLOTS_PER_PAGE + ((low & (__PAGE - 1)) >>> 6);
        }
    }
    return -1;
}

// What the completion word says: state and descriptor (netdma.md, 2.9: bits 2..0 and 63..6).
function __completion(word, pages) {
    const [high, low] = __parts(word);
    const state = __COMPLETION_STATES[low & 7];
    const address = new host.Int64((low & ~63) >>> 0, high);
    const slot = __isZero(address) ? -1 : __slotAt(pages, address);
    let names = "no descriptor";
    if (state !== "Armed" && !__isZero(address)) {
        names = slot < 0 ? "an address that is not of this ring: " + __hex(address) : "slot " + slot;
    }
    return { state: state === undefined ? "unknown (" + (low & 7) + ")" : state, names: names };
}

function __netdma_ring(number, shown) {
    return __command("ring", "", () => {
        if (number === undefined) {
            throw new Error("of which channel? !netdma_channels lists them, !netdma_ring 3 shows one");
        }
        const wanted = __count(__value(number), "a channel number");
        const most = shown === undefined ? __SLOTS_SHOWN : __count(__value(shown), "a number of slots");
        const channel = __channels().filter(channel => channel.index === wanted)[0];
        const live = channel === undefined ? null : channel.live();
        if (live === null) {
            throw new Error("channel " + wanted + " is not in use; !netdma_channels lists those that are");
        }
        const ring = __field(live, "channel", "ring");
        const at = __positions(ring);
        const pages = __pages(__field(ring, "memory"));
        if (pages.length * __SLOTS_PER_PAGE !== at.size) {
            throw new Error("a ring of " + at.size + " slots on " + pages.length + " pages, which cannot be");
        }
        const where = __valueOf(__shared(__field(ring, "memory", "word")), "memory");
        const word = host.memory.readMemoryValues(where, 1, 8)[0];
        const said = __completion(word, pages);
        const head = __row({
            Channel: wanted, Size: at.size, Told: at.told, Done: at.done, Posted: at.posted, Built: at.built,
            Word: __hex(word), WordState: said.state, WordNames: said.names, Doubt: at.doubt
        }, "channel " + wanted + ": ring of " + at.size + ", done " + at.done + ", posted " + at.posted + ", built " +
            at.built + "; completion word " + __hex(word) + ": " + said.state + ", " + said.names +
            (at.doubt === "" ? "" : "; " + at.doubt));
        // From the last one done to the last one built. With positions that cannot be, slots from the first.
        const first = at.doubt === "" ? Math.max(at.done - 1, 0) : 0;
        const end = at.doubt === "" ? at.built : at.size;
        const positions = [];
        for (let position = first; position < end && positions.length < Math.min(most, at.size); position++) {
            positions.push(position);
        }
        const rows = __rows(positions, position => "slot " + position % at.size, position =>
            __slot(position, at, pages));
        if (end - first > rows.length) {
            rows.push(__row({}, (end - first - rows.length) + " more; !netdma_ring " + wanted + ", N shows N"));
        }
        return [head].concat(rows);
    });
}

// One descriptor (netdma.md, 2.8): size and flags, source, destination, link.
function __slot(position, at, pages) {
    const number = position % at.size;
    const page = pages[Math.floor(number / __SLOTS_PER_PAGE)];
    const offset = number % __SLOTS_PER_PAGE * __DESCRIPTOR;
    const words = host.memory.readMemoryValues(__sum(page.memory, offset), 8, 8);
    const [flags, size] = __parts(words[0]);
    let stage = "pending";
    if (position < at.done) {
        stage = "done";
    } else if (position < at.posted) {
        stage = "in flight";
    }
    if (at.doubt !== "") {
        stage = "unknown";
    }
    const next = __slotAt(pages, words[3]);
    const link = __isZero(words[3]) ? "end of list" : next < 0 ? "a link out of the ring: " + __hex(words[3]) : "slot " + next;
    const fields = {
        Position: position, Slot: number, Stage: stage, Size: size, Flags: __flags(__CONTROL_FLAGS, flags),
        Source: __hex(words[1]), Destination: __hex(words[2]), Next: link, Address: __hex(__sum(page.logical, offset))
    };
    return __row(fields, "slot " + number + ": " + stage + ", " + size + " bytes, " + fields.Source + " -> " +
        fields.Destination + ", flags " + fields.Flags + ", next " + link);
}

// ---- ioatdma.sys

// Where an image lies, from the debugger's list of modules; `null` when it is not loaded.
function __image(name) {
    for (const module of host.currentProcess.Modules) {
        const file = String(module.Name).toLowerCase().split("\\").pop();
        if (file === name + ".sys" || file === name) {
            return { base: module.BaseAddress, size: __count(__value(module.Size), "an image's size") };
        }
    }
    return null;
}

function __isInside(image, address) {
    const [high, low] = __parts(address);
    const [base_high, base_low] = __parts(image.base);
    const distance = (high - base_high) * 4294967296 + (low - base_low);
    return distance >= 0 && distance < image.size;
}

function __netdma_engine() {
    return __command("engines", "ioatdma.sys drives no registered engine", () => {
        const image = __image("ioatdma");
        if (image === null) {
            throw new Error("ioatdma.sys is not loaded");
        }
        const rows = [];
        for (const provider of __providers()) {
            try {
                const record = provider.record();
                // A provider's context is its own affair; it is an engine if the entry points are ioatdma's.
                if (record !== null && __isInside(image, __valueOf(record, "entries", "start"))) {
                    const context = __valueOf(record, "entries", "context");
                    __engine(provider.index, __at(context, "ioatdma", "ioatdma::engine::Engine")).forEach(row => rows.push(row));
                }
            } catch (error) {
                rows.push(__problem("provider " + provider.index, error));
            }
        }
        return rows;
    });
}

function __engine(provider, engine) {
    const location = __numberOf(engine, "location");
    const device = __valueOf(engine, "identity", "device");
    const row = __at(device, "ioatdma", "ioat_regs::device::Device");
    const lanes = __elements(__field(engine, "lanes"), __MOST_LANES, "ioatdma", "ioatdma::lane::Lane");
    const present = Math.min(__numberOf(engine, "present"), lanes.length);
    const fields = {
        Provider: provider,
        Location: (location >>> 8) + ":" + (location >>> 3 & 31) + "." + (location & 7),
        Id: __id(__numberOf(row, "vendor")) + ":" + __id(__numberOf(row, "device")),
        Channels: present,
        Interrupts: __named(__INTERRUPT_KINDS, __numberOf(engine, "kind"))
    };
    const head = __row(fields, "engine at " + fields.Location + " (provider " + provider + "): " + fields.Id + ", " +
        (present === 0 ? "not started" : present + " channel(s), interrupts: " + fields.Interrupts));
    // Lanes that are there have a channel; the others were never opened.
    return [head].concat(__rows(lanes.slice(0, present), () => "a channel of engine " + fields.Location, __lane));
}

function __id(value) {
    return ("0000" + value.toString(16)).slice(-4);
}

function __lane(lane) {
    const core = __shared(__field(lane, "core"));
    const channel = __field(core, "state", "value", "value", "channel", "variant1", "value", "__0");
    const processor = name => {
        const value = __numberOf(core, name);
        return value === 0xFFFFFFFF ? "any" : String(value);
    };
    const owner = __at(__valueOf(core, "published", "value"), "ioatdma", "ioatdma::lane::Owner");
    const errors = __valueOf(channel, "last_error");
    const fields = {
        Channel: __numberOf(core, "number"),
        State: __named(__LANE_STATES, __valueOf(channel, "state")),
        Posted: __numberOf(channel, "posted"),
        LastError: __hex(errors),
        ErrorNames: __isZero(errors) ? "none" : __flags(__CHANNEL_ERRORS, __parts(errors)[1]),
        Word: __hex(__valueOf(channel, "seen")),
        Owner: owner === null ? "nobody" : "channel " + (__parts(__valueOf(owner, "handle"))[1] & 0xFFFF),
        Interrupts: __decimal(__valueOf(core, "interrupts")),
        Served: __decimal(__valueOf(core, "served")),
        Processor: processor("target"),
        MessageProcessor: processor("message")
    };
    return __row(fields, "  channel " + fields.Channel + ": " + fields.State + ", owner " + fields.Owner + ", count " +
        fields.Posted + ", last word " + fields.Word + ", last error " + fields.LastError +
        (fields.ErrorNames === "none" ? "" : " (" + fields.ErrorNames + ")") + ", " + fields.Interrupts +
        " interrupts, " + fields.Served + " served");
}

// ---- Histories

// Where each image keeps its events, and the tag of its secondary data: the id of its ETW provider (docs/tracing.md).
const __HISTORIES = {
    netdma: { symbol: "netdma::trace::TRACE::HISTORY", tag: "6f0c35a18d2e4b7e9a415c1d7f2b9033" },
    ioatdma: { symbol: "ioatdma::TRACE::HISTORY", tag: "6d3b1e0a52c44f7e9a410c772eb815d3" },
    netdmatest: { symbol: "netdmatest::TRACE::HISTORY", tag: "2a7e4c1093d54b0e8f617c3b52e9a4d3" }
};

function __netdma_history(module, count) {
    return __command("history", "nothing was recorded yet", () => {
        const asked = module === undefined ? null : String(module);
        if (asked !== null && __HISTORIES[asked] === undefined) {
            throw new Error("there is no history of " + asked + "; there are " + Object.keys(__HISTORIES).join(", "));
        }
        const most = count === undefined ? __HISTORY_RECORDS : __count(__value(count), "a number of events");
        const events = [];
        const problems = [];
        let data = null;
        const secondary = () => data === null ? data = __secondaryData() : data;
        Object.keys(__HISTORIES).filter(name => asked === null || name === asked).forEach(name => {
            try {
                __kept(name, secondary).slice(-Math.max(most, 1)).forEach(event => events.push(event));
            } catch (error) {
                // Of the images that are not loaded there is no history; that is no news unless one was asked for.
                if (asked !== null || __image(name) !== null) {
                    problems.push(__problem(name, error));
                }
            }
        });
        // Oldest first; of one image in the order of their numbers.
        events.sort((a, b) => a.Ticks - b.Ticks || (a.Module === b.Module ? a.Number - b.Number : 0));
        return problems.concat(events);
    });
}

// The events that an image keeps, oldest first: from its memory, or, where a dump is without that, from what the image
// added to the dump. Both are the same bytes (netdma_events::history::History).
function __kept(module, secondary) {
    try {
        return __events(module, "memory", __historyInMemory(module));
    } catch (error) {
        const bytes = secondary()[__HISTORIES[module].tag];
        if (bytes === undefined) {
            throw error;
        }
        return __events(module, "secondary data", __historyInBytes(bytes));
    }
}

// A record is believed if its number is the one that belongs there.
function __events(module, from, history) {
    const kept = [];
    for (let number = Math.max(history.written - history.length, 0) + 1; number <= history.written; number++) {
        const record = history.record(number % history.length);
        if (__same(record.number, number)) {
            kept.push(__event(module, from, number, record));
        } else if (!__isZero(record.number)) {
            kept.push(__row({ Module: module, From: from, Number: number, Ticks: 0, Name: "(damaged)" },
                module + " " + number + ": its record says it is event " + __decimal(record.number)));
        }
    }
    return kept;
}

function __historyInMemory(module) {
    const history = __symbol(module, __HISTORIES[module].symbol);
    const records = __field(history, "records");
    return {
        written: __numberOf(history, "written"),
        length: Math.min(__count(records.targetSize, "a size") / __count(records[0].targetSize, "a size"), 65536),
        record: index => {
            const record = records[index];
            const values = __field(record, "values");
            return {
                number: __valueOf(record, "number"), time: __valueOf(record, "time"), what: __valueOf(record, "what"),
                thread: __valueOf(record, "thread"), values: [0, 1, 2, 3].map(index => __value(values[index]))
            };
        }
    };
}

function __historyInBytes(bytes) {
    const length = Math.floor(bytes.length / __HISTORY_RECORD) - 1;    // the first place holds the number of events
    if (length < 1) {
        throw new Error("its secondary data has " + bytes.length + " bytes, too few for a history");
    }
    const word = offset => {
        const half = at => (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0;
        return new host.Int64(half(offset), half(offset + 4));
    };
    return {
        written: __count(word(0), "the number of events"),
        length: length,
        record: index => {
            const at = (index + 1) * __HISTORY_RECORD;
            return {
                number: word(at), time: word(at + 8), what: word(at + 16), thread: word(at + 24),
                values: [32, 40, 48, 56].map(offset => word(at + offset))
            };
        }
    };
}

// What our images added to the dump, by tag: the bytes that `.enumtag` prints, at most 16 a line, each tag under a line with
// its id and size. There may be megabytes of other drivers' data; those lines are passed over.
function __secondaryData() {
    const wanted = Object.keys(__HISTORIES).map(module => __HISTORIES[module].tag);
    const data = {};
    let bytes = null;
    let left = 0;
    let lines = [];
    try {
        lines = host.namespace.Debugger.Utility.Control.ExecuteCommand(".enumtag");
    } catch (error) {
        return data;    // a machine that has not stopped has none
    }
    for (const printed of lines) {
        const line = String(printed);
        const head = line.match(/^\s*\{([0-9A-Fa-f-]+)\} - 0x([0-9A-Fa-f]+) bytes/);
        if (head !== null) {
            const tag = head[1].replace(/-/g, "").toLowerCase();
            bytes = wanted.indexOf(tag) < 0 ? null : [];
            left = bytes === null ? 0 : parseInt(head[2], 16);
            if (bytes !== null) {
                data[tag] = bytes;
            }
        } else if (left > 0) {
            // The characters behind the bytes may look like bytes too, so it is counted how many there must be.
            const words = line.trim().split(/\s+/).slice(0, Math.min(left, 16));
            left -= words.length;
            words.forEach(word => {
                if (!/^[0-9A-Fa-f]{2}$/.test(word)) {
                    throw new Error(".enumtag prints " + word + " where a byte is expected");
                }
                bytes.push(parseInt(word, 16));
            });
        }
    }
    return data;
}

function __event(module, from, number, record) {
    const ticks = __count(record.time, "time");
    const [processor, low] = __parts(record.what);
    const id = low & 0xFFFF;
    const known = __EVENTS[id];
    const said = [];
    for (let index = 0; index < (known === undefined ? 4 : known.fields.length); index++) {
        const value = record.values[index];
        said.push(known === undefined ? __hex(value) : known.fields[index][0] + "=" + __said(known.fields[index][1], value));
    }
    const fields = {
        Module: module,
        From: from,
        Number: number,
        Ticks: ticks,
        Processor: processor,
        Irql: low >>> 16 & 0xFF,
        Thread: __hex(record.thread),
        Id: id,
        Name: known === undefined ? "unknown event" : known.name,
        Values: said.join(" ")
    };
    return __row(fields, (ticks / 1e7).toFixed(7) + " s, CPU " + processor + ", IRQL " + fields.Irql + ", " + module + " " +
        number + ": " + fields.Name + (said.length === 0 ? "" : " ") + fields.Values);
}

// How a value of an event reads: "n" a number, "x" hexadecimal, "s" an NTSTATUS, or the names of values.
function __said(kind, value) {
    if (kind === "n") {
        return __decimal(value);
    }
    if (kind === "x") {
        return __hex(value);
    }
    if (kind === "s") {
        return "0x" + ("00000000" + __parts(value)[1].toString(16)).slice(-8);
    }
    const name = kind[__decimal(value)];
    return name === undefined ? __decimal(value) + "?" : name;
}

// ---- Commands

function initializeScript() {
    return [
        new host.apiVersionSupport(1, 7),
        new host.functionAlias(__netdma_providers, "netdma_providers"),
        new host.functionAlias(__netdma_channels, "netdma_channels"),
        new host.functionAlias(__netdma_ring, "netdma_ring"),
        new host.functionAlias(__netdma_engine, "netdma_engine"),
        new host.functionAlias(__netdma_history, "netdma_history")
    ];
}
