// A checker that cannot fail proves nothing: with each of these rules broken, the worlds of world.test.js find it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const library = fileURLToPath(new URL("..", import.meta.url));

const mutants = {
  "acknowledges while a hello is unanswered": ["ordering.js", "!this.#asked && this.inbox.consumed", "this.inbox.consumed"],
  "acknowledges what the new relay has not brought": ["ordering.js", "!this.#asked && this.inbox.consumed <= this.#via", "!this.#asked"],
  "takes what came after the hello for told": ["ordering.js", "this.#via = this.#told;", ""],
  "does not say that the welcome came": ["ordering.js", "this.#via = this.#told;\n    this.#welcomed = true;", "this.#via = this.#told;"],
  "replays nothing": ["ordering.js", "this.outbox.rewind(f.received);", ""],
  "takes a message twice": ["ordering.js", "if (seq <= this.received) return false;", ""],
  "keeps the token of the first welcome": ["connection.js", "this.#token = welcome.resumeToken;", "this.#token ||= welcome.resumeToken;"],
  "lets go of the old stream before the welcome": ["legs.js", "this.#connect(leg);", "this.#connect(leg), this.#end(this.#current);"],
};

for (const [name, [file, from, to]] of Object.entries(mutants)) {
  test(`a client that ${name} is caught`, () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-client-"));
    try {
      cpSync(library, folder, { recursive: true });
      const source = readFileSync(join(folder, file), "utf8");
      assert.equal(source.split(from).length, 2, "the text to change is not there once");
      writeFileSync(join(folder, file), source.replace(from, () => to));
      // Not as a test of this run, to which it would report.
      const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
      const run = spawnSync(process.execPath, ["test/world.test.js"], { cwd: folder, encoding: "utf8", env, timeout: 60_000 });
      assert.equal(run.status, 1, run.error?.message ?? run.stdout);
      assert.match(run.stdout, /seed \d+: |shows too little/, run.stderr);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
