// Numbers that glide to where they shall be.

const duration = 500; // ms
const still = matchMedia("(prefers-reduced-motion: reduce)");

export const reduced = () => still.matches;

const moving = new Set();
let frame = 0;

// Glide holds numbers and applies them while they change.
export class Glide {
  constructor(apply) {
    this.apply = apply;
    this.now = null;
  }

  // to glides to the numbers, or jumps there.
  to(target, jump = false) {
    if (this.target && same(this.target, target)) return;
    this.target = target;
    if (this.now === null || jump || reduced() || document.hidden) {
      moving.delete(this);
      this.now = { ...target };
      this.apply(this.now);
      return;
    }
    this.from = { ...this.now };
    this.began = performance.now();
    moving.add(this);
    frame ||= requestAnimationFrame(step);
  }

  stop() {
    moving.delete(this);
  }

  advance(at) {
    const t = Math.min(1, Math.max(0, (at - this.began) / duration));
    const eased = 1 - (1 - t) ** 3;
    for (const k of Object.keys(this.target)) {
      const from = this.from[k] ?? this.target[k];
      this.now[k] = t === 1 ? this.target[k] : from + (this.target[k] - from) * eased;
    }
    this.apply(this.now);
    return t === 1;
  }
}

function same(a, b) {
  return Object.keys(b).every((k) => a[k] === b[k]);
}

function step(at) {
  frame = 0;
  for (const g of moving) if (g.advance(at)) moving.delete(g);
  if (moving.size > 0) frame = requestAnimationFrame(step);
}
