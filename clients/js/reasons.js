// Why a connection or a stream of it ends, and what a client does then.

// The names of the relay's CloseReason and ErrorReason, by their numbers.
const closeReasons = [
  "", "CLIENT_GONE", "APPLICATION_CLOSED", "APPLICATION_ERROR", "SERVER_LOST", "SERVER_SHUTDOWN", "RELAY_SHUTDOWN", "PROTOCOL_ERROR",
  "UNKNOWN_CONNECTION", "MESSAGE_TOO_LARGE", "SLOW_CONSUMER", "OPERATOR", "TOKEN_EXPIRED", "MESSAGE_RATE", "IDLE", "RESUMED_ELSEWHERE",
];
const errorReasons = [
  "", "HANDSHAKE_REQUIRED", "HANDSHAKE_REPEATED", "UNSUPPORTED_VERSION", "UNSUPPORTED_CAPABILITY", "INVALID_FIELD",
  "UNKNOWN_APPLICATION", "INSTANCE_CONFLICT", "MALFORMED_FRAME", "MESSAGE_TOO_LARGE", "NO_APP_SERVER", "SILENT_PEER", "RELAY_SHUTDOWN",
  "UNKNOWN_INGRESS", "RELOAD_IN_PROGRESS", "NO_RELOAD", "UNKNOWN_CONNECTION", "NOT_MOVABLE", "UNEXPECTED_MESSAGE", "UNAUTHENTICATED",
  "PERMISSION_DENIED", "TOO_MANY_CONNECTIONS", "CONNECTION_RATE", "OVERLOADED", "HANDSHAKE_TIMEOUT", "RESUME_TOKEN_INVALID",
  "RESUME_TOKEN_EXPIRED", "RESUME_TOKEN_REPLAYED", "RESUME_TOKEN_FOREIGN", "IMPOSSIBLE_NUMBER", "MALFORMED_MESSAGE",
];

// A socket is closed with one of these and the number of the reason, when no code of the standard says it.
const closeCodes = 4000;
const errorCodes = 4100;

export const CLIENT_GONE = 1;

// Reasons of a stream, whose connection goes on: the client comes again.
const again = new Set([
  "RELAY_SHUTDOWN", "NO_APP_SERVER", "OVERLOADED", "TOO_MANY_CONNECTIONS", "CONNECTION_RATE", "HANDSHAKE_TIMEOUT", "RESUMED_ELSEWHERE",
]);
// Reasons for which the client comes again when it can get a new token.
const withToken = new Set(["TOKEN_EXPIRED", "UNAUTHENTICATED"]);
// Reasons for which the client comes again once.
const once = new Set(["IMPOSSIBLE_NUMBER"]);

// How to go on after a stream has ended: again, with a new token, once more, or not at all.
export const AGAIN = "again";
export const WITH_TOKEN = "with-token";
export const ONCE = "once";
export const FINAL = "final";

// HoldfastError is what a connection or an operation on it failed with.
export class HoldfastError extends Error {
  constructor(reason, detail, code = 0) {
    super(detail === "" ? reason : `${reason}: ${detail}`);
    this.name = "HoldfastError";
    // The name of a CloseReason or ErrorReason, or one of this client's own: TRANSPORT, GAVE_UP, CLOSED, ABORTED,
    // SENDING_TOO_MUCH.
    this.reason = reason;
    this.detail = detail;
    // The code that the socket was closed with, or 0.
    this.code = code;
  }
}

// closeReasonName returns the name of a CloseReason.
export const closeReasonName = (number) => closeReasons[number] || `CLOSE_REASON_${number}`;

// errorOf returns the error for a socket that was closed with the code and the text. TRANSPORT: the relay has said nothing of why.
export function errorOf(code, text) {
  const named = /^([A-Z_]+)(?:: ?([^]*))?$/.exec(text);
  if (named !== null && (closeReasons.includes(named[1]) || errorReasons.includes(named[1]))) {
    return new HoldfastError(named[1], named[2] ?? "", code);
  }
  const name = code >= errorCodes ? errorReasons[code - errorCodes] : closeReasons[code - closeCodes];
  if (name) return new HoldfastError(name, text, code);
  return new HoldfastError("TRANSPORT", text || `the socket was closed with code ${code}`, code);
}

// reaction says how to go on after the error of a stream.
export function reaction(error) {
  if (error.reason === "TRANSPORT" || again.has(error.reason)) return AGAIN;
  if (withToken.has(error.reason)) return WITH_TOKEN;
  return once.has(error.reason) ? ONCE : FINAL;
}
