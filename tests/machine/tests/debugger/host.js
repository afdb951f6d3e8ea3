"use strict";
// The debugger's side of docs/windbg/netdma.js: the `host` object of the Learn pages that the script names, over a target
// that another process serves. Requests go out as lines of JSON on standard output, answers come in on standard input.
//
// An object of the target has what the pages give it and no more: a field that is a number of at most 32 bits is a
// JavaScript number, one of 64 bits the library type, everything else (structures, arrays, pointers, enumerations) an
// object with `targetLocation` and `targetSize`.

const fs = require("fs");
const vm = require("vm");

// ---- Lines

let input = Buffer.alloc(0);

function readLine() {
    for (;;) {
        const end = input.indexOf(10);
        if (end >= 0) {
            const line = input.toString("utf8", 0, end);
            input = input.subarray(end + 1);
            return line;
        }
        const room = Buffer.alloc(65536);
        const count = fs.readSync(0, room, 0, room.length, null);
        if (count === 0) {
            return null;
        }
        input = Buffer.concat([input, room.subarray(0, count)]);
    }
}

function say(value) {
    fs.writeSync(1, JSON.stringify(value) + "\n");
}

function ask(request) {
    say(request);
    return JSON.parse(readLine());
}

// ---- The library type for 64-bit values

class Int64 {
    constructor(value, high) {
        const bits = high === undefined ? Int64.bits(value) : BigInt(value >>> 0) | BigInt(high >>> 0) << 32n;
        this.value = BigInt.asUintN(64, bits);
        Object.freeze(this);
    }
    static bits(value) {
        return value instanceof Int64 ? value.value : BigInt(value);
    }
    getLowPart() { return Number(this.value & 0xFFFFFFFFn); }
    getHighPart() { return Number(this.value >> 32n); }
    add(other) { return new Int64(this.value + Int64.bits(other)); }
    subtract(other) { return new Int64(this.value - Int64.bits(other)); }
    bitwiseAnd(other) { return new Int64(this.value & Int64.bits(other)); }
    bitwiseShiftRight(count) { return new Int64(this.value >> BigInt(count)); }
    asNumber() {
        if (this.value > BigInt(Number.MAX_SAFE_INTEGER)) {
            throw new Error("64 bit value loses precision on conversion to number");
        }
        return Number(this.value);
    }
    valueOf() { return this.asNumber(); }
}

// ---- Memory and objects of the target

class Location {
    constructor(address) { this.address = address; }
    add(offset) { return new Location(this.address + Int64.bits(offset)); }
    subtract(offset) { return new Location(this.address - Int64.bits(offset)); }
}

function addressOf(location) {
    if (location instanceof Location) {
        return location.address;
    }
    if (location && location[POINTER] !== undefined) {
        return location[POINTER];
    }
    return Int64.bits(location);
}

function readBytes(address, length) {
    const answer = ask({ ask: "memory", address: BigInt.asUintN(64, address).toString(16), length: length });
    if (answer.bytes === null) {
        throw new Error("Unable to read target memory at 0x" + address.toString(16));
    }
    return Buffer.from(answer.bytes, "hex");
}

function number(bytes, offset, size, signed) {
    switch (size) {
        case 1: return signed ? bytes.readInt8(offset) : bytes.readUInt8(offset);
        case 2: return signed ? bytes.readInt16LE(offset) : bytes.readUInt16LE(offset);
        case 4: return signed ? bytes.readInt32LE(offset) : bytes.readUInt32LE(offset);
        case 8: return new Int64(bytes.readBigUInt64LE(offset));
        default: throw new Error("Invalid argument: elementSize");
    }
}

const POINTER = Symbol("pointer");
const types = new Map();

function typeOf(module, id) {
    const key = module + "!" + id;
    if (!types.has(key)) {
        types.set(key, ask({ ask: "type", module: module, type: id }));
    }
    return types.get(key);
}

function native(module, id, address) {
    const type = typeOf(module, id);
    switch (type.kind) {
        case "number": return number(readBytes(address, type.size), 0, type.size, type.signed);
        case "bool": return readBytes(address, 1)[0] !== 0;
        default: return new Proxy({}, {
            get: (_, name) => property(module, type, address, name),
            has: (_, name) => property(module, type, address, name) !== undefined
        });
    }
}

function property(module, type, address, name) {
    const pointer = () => readBytes(address, 8).readBigUInt64LE(0);
    switch (name) {
        case "targetLocation": return new Location(address);
        case "targetSize": return type.size;
        case POINTER: return type.kind === "pointer" ? pointer() : undefined;
    }
    if (type.kind === "pointer") {
        switch (name) {
            case "address": return new Int64(pointer());
            case "isNull": return pointer() === 0n;
            case "dereference": return () => native(module, type.target, pointer());
            default: return property(module, typeOf(module, type.target), pointer(), name);
        }
    }
    if (type.kind === "array" && typeof name === "string" && /^[0-9]+$/.test(name)) {
        const size = typeOf(module, type.element).size;
        if (Number(name) * size >= type.size) {
            throw new Error("Index out of range");
        }
        return native(module, type.element, address + BigInt(Number(name) * size));
    }
    const field = type.kind === "struct" && type.fields.find(field => field.name === name);
    return field ? native(module, field.type, address + BigInt(field.offset)) : undefined;
}

// ---- host

class FunctionAlias {
    constructor(routine, name) { this.routine = routine; this.name = name; }
}

const host = {
    Int64: Int64,
    functionAlias: FunctionAlias,
    apiVersionSupport: class { constructor(major, minor) { this.version = [major, minor]; } }
};

// What is there only once initializeScript has returned.
const SECOND_PHASE = {
    getModuleSymbol(module, name) {
        const symbol = ask({ ask: "symbol", module: module, name: name });
        if (symbol.type === null) {
            throw new Error("Unable to find symbol " + module + "!" + name);
        }
        return native(module, symbol.type, BigInt("0x" + symbol.address));
    },
    createTypedObject(location, module, name) {
        const found = ask({ ask: "named", module: module, name: name });
        if (found.type === null) {
            throw new Error("Unable to find type " + module + "!" + name);
        }
        return native(module, found.type, addressOf(location));
    },
    memory: {
        readMemoryValues(location, count, size, signed) {
            const width = size === undefined ? 1 : size;
            const bytes = readBytes(addressOf(location), count * width);
            const values = [];
            for (let index = 0; index < count; index++) {
                values.push(number(bytes, index * width, width, signed === true));
            }
            return values;
        }
    },
    namespace: { Debugger: { Utility: { Control: {
        // Lines of text, to be gone through once.
        ExecuteCommand(command) {
            const answer = ask({ ask: "command", text: command });
            if (answer.lines === null) {
                throw new Error("Unable to execute " + command);
            }
            return answer.lines[Symbol.iterator]();
        }
    } } } },
    get currentProcess() {
        return {
            Modules: ask({ ask: "modules" }).modules.map(module => ({
                Name: module.name, BaseAddress: new Int64("0x" + module.base), Size: new Int64(module.size)
            }))
        };
    }
};

// ---- The script, in a world that has ES6 and nothing newer

const path = process.argv[2];
const text = fs.readFileSync(path, "utf8");
const newer = text.match(/\?\.|\?\?|\*\*|\basync\b|\bawait\b|\b[0-9]+n\b|\.\.\.[a-zA-Z_]+\s*\}/);
if (newer !== null) {
    throw new Error(path + " uses " + newer[0] + ", which is newer than ES6");
}
const world = vm.createContext({ host: host });
vm.runInContext(
    "delete globalThis.BigInt; delete globalThis.globalThis; delete Object.entries; delete Object.values;" +
    "delete Object.fromEntries; delete Array.prototype.includes; delete Array.prototype.flat;" +
    "delete Array.prototype.flatMap; delete String.prototype.padStart; delete String.prototype.padEnd;" +
    "delete String.prototype.matchAll; delete String.prototype.replaceAll;", world);
new vm.Script(text, { filename: path }).runInContext(world);
const aliases = new Map();
for (const registered of world.initializeScript()) {
    if (registered instanceof FunctionAlias) {
        if (!/^[A-Za-z_][A-Za-z_0-9]*$/.test(registered.name)) {
            throw new Error(registered.name + " is no name for an alias");
        }
        aliases.set(registered.name, registered.routine);
    }
}
Object.defineProperties(host, Object.getOwnPropertyDescriptors(SECOND_PHASE));
// Tables of names, for a test that holds them against the symbols.
const tables = vm.runInContext(
    "({ provider: __PROVIDER_STATES, channel: __CHANNEL_STATES, lane: __LANE_STATES, errors: __CHANNEL_ERRORS," +
    "  completion: __COMPLETION_STATES, flags: __CONTROL_FLAGS })", world);
say({ ready: Array.from(aliases.keys()), tables: tables });

for (let line = readLine(); line !== null; line = readLine()) {
    const call = JSON.parse(line);
    const rows = aliases.get(call.call).apply(null, call.arguments);
    say({ rows: rows.map(row => ({ text: row.toString(), fields: Object.assign({}, row) })) });
}
