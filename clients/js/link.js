// A client's stream to a relay: one WebSocket.
import { ConnectRequest, ConnectResponse, decode, encode } from "./codec.js";
import { HoldfastError, errorOf } from "./reasons.js";

export const protocol = "holdfast.v1";

const OPEN = 1;
const normal = 1000;
// Of the text with which a socket is closed, in bytes.
const maxText = 123;

// Link tells opened(), received(response), broken(error) when what came is no response, and ended(error) once at its end. After
// close it tells nothing.
export class Link {
  #socket;
  #tell;

  // It throws when the socket cannot even be made.
  constructor(WebSocket, address, token, tell) {
    const socket = new WebSocket(address, token === "" ? [protocol] : [protocol, `bearer.${token}`]);
    this.#socket = socket;
    this.#tell = tell;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onerror = () => {}; // it says nothing but that a close follows
    socket.onclose = ({ code, reason }) => this.#end(errorOf(code, reason));
  }

  send(request) {
    if (this.#socket.readyState !== OPEN) return; // its end is about to be told
    this.#socket.send(encode(ConnectRequest, request));
  }

  // close ends the link. Nothing is told of it any more.
  close(code = normal, text = "") {
    this.#tell = undefined;
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code, text.slice(0, maxText / 3)); // whatever it is in UTF-8
  }

  #opened() {
    if (this.#socket.protocol === protocol) {
      this.#tell.opened();
      return;
    }
    const tell = this.#tell;
    this.close();
    tell.ended(new HoldfastError("TRANSPORT", `what answers does not speak ${protocol}`));
  }

  #received(data) {
    let response;
    try {
      if (typeof data === "string") throw new Error("a text frame; all frames are binary");
      response = decode(ConnectResponse, new Uint8Array(data));
    } catch (error) {
      this.#tell.broken(error);
      return;
    }
    this.#tell.received(response);
  }

  #end(error) {
    const tell = this.#tell;
    this.close();
    tell.ended(error);
  }
}
