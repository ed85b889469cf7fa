// The client library of Holdfast: resumable connections over WebSocket.

/** Opens a connection. Rejects with a HoldfastError when it is refused, or when no relay takes it within connectTime. */
export function connect(options: Options): Promise<Connection>;

export interface Options {
  /** ws: or wss: URLs of relays, or of ingresses in front of them. They are tried in turn, from a random one on. */
  addresses: string[];
  /** The application to talk to; left out: the relay's default one. */
  application?: string;
  /** Returns the JWT to show. It is called for each new stream, so that it can return a new one when the old one has expired. */
  token?: () => string | Promise<string>;
  /** Gets each message. The next one waits until it has returned, or the promise that it returns is settled. */
  onMessage?: (data: string | Uint8Array) => unknown;
  /** Hears what becomes of the connection. */
  onEvent?: (event: ConnectionEvent) => void;
  /** What to make sockets with; left out: the global WebSocket. Node has one from version 22 on. */
  WebSocket?: WebSocketConstructor;
  /** Aborts the connection, while it is being opened too. */
  signal?: AbortSignal;
  /** For how long opening is tried, in milliseconds; left out: 30,000. */
  connectTime?: number;
  /** Gets the event "online" when the network comes back; left out: the global object where that can have events. */
  network?: Pick<EventTarget, "addEventListener" | "removeEventListener">;
  /** For tests: what the time is read from and waited with. */
  clock?: Clock;
  /** For tests: draws a number from 0 up to 1. */
  random?: () => number;
}

/** One logical connection. Iterating over it gives the messages in order, and throws at the end when it was lost. */
export interface Connection extends AsyncIterable<string | Uint8Array> {
  /** Names it for people, as 16 hexadecimal digits. */
  readonly id: string;
  /** The application that it was placed on. */
  readonly application: string;
  /** The relay that carries it, or did last, by its id. */
  readonly relay: string;
  /** The ingress that it comes in through, or did last, as that relay sees it. */
  readonly ingress: string;
  /** The largest message, in bytes. */
  readonly maxMessageBytes: number;
  /** Whether a stream carries it at the moment. */
  readonly connected: boolean;
  /** Fulfilled when it has ended; never rejected. */
  readonly closed: Promise<Closure>;
  /** Fulfilled when the message was accepted, which waits while the window is full. It arrives then, once and in order. */
  send(data: string | Uint8Array): Promise<void>;
  /** The next message, or undefined at the end; rejects when it was lost. */
  receive(): Promise<string | Uint8Array | undefined>;
  /** Says that nothing more is sent; messages still come. */
  closeSend(): Promise<void>;
  /** Ends it after all that was sent; fulfilled when the application has consumed that. */
  close(): Promise<Closure>;
  /** Ends it at once, whatever was not sent or received. */
  abort(): void;
  /** Has it taken up on a new stream before the old one is let go: for a page that has reason to doubt its network. */
  check(): void;
}

export interface Closure {
  /** CLIENT_GONE after a close, APPLICATION_CLOSED when the application ended it, else the reason of the error. */
  readonly reason: string;
  readonly detail: string;
  /** Left out when it ended as it should. */
  readonly error?: HoldfastError;
}

export type ConnectionEvent =
  /** A new stream is on its way. broken: none carries the connection meanwhile. The next try is in delay milliseconds. */
  | { type: "reconnecting"; broken: boolean; delay: number; attempt: number; error: HoldfastError }
  /** A new stream carries the connection, and nothing of it is lost. None did for so many milliseconds. */
  | { type: "recovered"; address: string; relay: string; ingress: string; interrupted: number }
  /** The connection is over, and that was not asked for. */
  | { type: "lost"; error: HoldfastError };

export class HoldfastError extends Error {
  constructor(reason: string, detail: string, code?: number);
  /** The name of a CloseReason or ErrorReason of holdfast.v1, or TRANSPORT, GAVE_UP, CLOSED, ABORTED or SENDING_TOO_MUCH. */
  readonly reason: string;
  readonly detail: string;
  /** The code that the socket was closed with, or 0. */
  readonly code: number;
}

export interface Clock {
  now(): number;
  setTimeout(f: () => void, milliseconds: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** What is used of a WebSocket. */
export interface WebSocketLike {
  binaryType: string;
  readonly protocol: string;
  readonly readyState: number;
  onopen: any;
  onmessage: any;
  onerror: any;
  onclose: any;
  send(data: any): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;
