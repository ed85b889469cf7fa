// The parts of protobuf's encoding that every message is made of.

// MalformedMessage is what decoding throws for bytes that are no message.
export class MalformedMessage extends Error {
  constructor(message) {
    super(message);
    this.name = "MalformedMessage";
  }
}

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
const START_GROUP = 3;
const END_GROUP = 4;
export const FIXED32 = 5;

const maxField = 2 ** 29 - 1;

const encoder = new TextEncoder();
// A byte order mark is a part of the text like any other character.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// utf8 returns the text in UTF-8.
export const utf8 = (text) => encoder.encode(text);

// Writer makes bytes.
export class Writer {
  #bytes = new Uint8Array(256);
  #length = 0;

  finish() {
    return this.#bytes.slice(0, this.#length);
  }

  // tag writes the number of a field and its wire type.
  tag(field, type) {
    this.varint(field * 8 + type);
  }

  // varint writes an integer from -(2^53-1) to 2^53-1; a negative one in two's complement of 64 bits, as protobuf has it.
  varint(value) {
    let rest = value;
    if (value < 0) {
      // The seven lowest bits, then what is left of the 64: there is no integer for it here.
      let high = Math.floor(value / 128);
      this.#byte((value - high * 128) | 0x80);
      for (let i = 0; i < 8; i++) {
        const next = Math.floor(high / 128);
        this.#byte((high - next * 128) | 0x80);
        high = next;
      }
      this.#byte(1);
      return;
    }
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#byte((rest % 128) | 0x80);
    this.#byte(rest);
  }

  // bytes writes bytes and their length before them.
  bytes(value) {
    this.varint(value.length);
    this.#grow(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  #byte(value) {
    this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  #grow(by) {
    if (this.#length + by <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + by));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

// Reader reads bytes from the front.
export class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get done() {
    return this.#at === this.#bytes.length;
  }

  // tag reads the number of a field and its wire type.
  tag() {
    const { low, high } = this.varint();
    const tag = high * 2 ** 32 + low;
    const field = Math.floor(tag / 8);
    if (field < 1 || field > maxField) throw new MalformedMessage(`field number ${field}; 1 to ${maxField} is allowed`);
    return { field, type: tag % 8 };
  }

  // varint reads an integer of 64 bits as two of 32, unsigned.
  varint() {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (i < 4) low += bits * 2 ** (7 * i);
      else if (i === 4) {
        low += (bits & 0x0f) * 2 ** 28;
        high = bits >> 4;
      } else if (i < 9) high += bits * 2 ** (7 * i - 32);
      else if (byte > 1) break;
      else high += bits * 2 ** 31;
      if (byte < 0x80) return { low, high };
    }
    throw new MalformedMessage("an integer has more than 64 bits");
  }

  // bytes reads bytes and their length before them. They are those of the message, not a copy.
  bytes() {
    const { low, high } = this.varint();
    const length = high * 2 ** 32 + low;
    if (length > this.#bytes.length - this.#at) {
      throw new MalformedMessage(`a field of ${length} bytes, but the message ends after ${this.#bytes.length - this.#at}`);
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text() {
    const bytes = this.bytes();
    try {
      return decoder.decode(bytes);
    } catch {
      throw new MalformedMessage("a text is not valid UTF-8");
    }
  }

  // skip passes over the value of a field that nobody knows here.
  skip(field, type) {
    const groups = [];
    for (;;) {
      if (type === START_GROUP) groups.push(field);
      else if (type === END_GROUP) {
        if (groups.pop() !== field) throw new MalformedMessage(`group ${field} ends, but was not begun`);
      } else this.#pass(type);
      if (groups.length === 0) return;
      ({ field, type } = this.tag());
    }
  }

  #pass(type) {
    switch (type) {
      case VARINT:
        this.varint();
        return;
      case BYTES:
        this.bytes();
        return;
      case FIXED64:
      case FIXED32:
        this.#at += type === FIXED64 ? 8 : 4;
        if (this.#at > this.#bytes.length) throw new MalformedMessage("the message ends within a field");
        return;
      default:
        throw new MalformedMessage(`wire type ${type} is none`);
    }
  }

  #byte() {
    if (this.done) throw new MalformedMessage("the message ends within a field");
    return this.#bytes[this.#at++];
  }
}
