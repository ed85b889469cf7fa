import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../holdfast.js";
import { World } from "../testing/world.js";

const seeds = 60;
const messages = 60;

// Whatever is cut and moved and however things are late: order, each once, nothing lost, and no rule broken.
test(`an application echoes ${messages} messages in each of ${seeds} worlds in which streams break and move`, async () => {
  const total = { cuts: 0, moves: 0, resumes: 0, overlaps: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const world = new World(seed);
    const sent = Array.from({ length: messages }, (_, i) => `${i} ${"x".repeat(world.random.below(200))}`);
    const received = [];
    let connection;
    connect(world.bench.options).then((c) => {
      connection = c;
      for (const m of sent) c.send(m).catch(() => {});
    });
    await world.until(() => connection !== undefined);
    const receiving = (async () => {
      for await (const m of connection) received.push(m);
    })();
    try {
      for (let i = 0; i < 1500; i++) {
        await world.step();
        if (world.random.chance(3)) await world.fault();
      }
      await world.until(() => received.length === messages);
      assert.deepEqual(received, sent, `seed ${seed}`);
      assert.deepEqual(world.echoed, sent);
      await world.until(() => world.outbox.acked === messages);
    } catch (error) {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
    assert.equal(world.bench.types.includes("lost"), false);
    for (const key of Object.keys(total)) total[key] += world.counts[key];
    connection.abort();
    await receiving.catch(() => {});
  }
  for (const [what, n] of Object.entries(total)) assert.ok(n >= seeds, `only ${n} ${what}; this shows too little`);
});
