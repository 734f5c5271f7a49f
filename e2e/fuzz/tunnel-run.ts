/** `npm run fuzz:tunnel -- --seed N --seconds S`: random packets into server and agent until the time is over or Ctrl-C. */
import { readArguments } from './arguments.ts';
import { fuzzTunnel } from './tunnel-fuzzer.ts';
import { startTunnelWorld } from './tunnel-world.ts';

const { seed, seconds } = readArguments(process.argv.slice(2), Date.now());
/** What one seed does before the next one has a world of its own, in which whatever was left shows. */
const sessionsPerSeed = 2_000;
let interrupted = false;
process.once('SIGINT', () => (interrupted = true)).once('SIGTERM', () => (interrupted = true));
const begun = performance.now();
const goesOn = (): boolean => !interrupted && (performance.now() - begun) / 1000 < seconds;
for (let current = seed; goesOn(); current += 1) {
  const world = await startTunnelWorld();
  console.log(`seed ${current}`);
  const { sessions, strokes, opened, cut, exchanges, slowestExchangeMs } = await fuzzTunnel(world, {
    ...{ seed: current, atOnce: 8 },
    goOn: (count) => count < sessionsPerSeed && goesOn(),
  });
  await world.close();
  const rss = Math.round(process.memoryUsage().rss / 1024 ** 2);
  console.log(
    `  ${sessions} sessions (${cut} were cut), ${strokes} packets, connections ${JSON.stringify(opened)},` +
      ` ${exchanges} exchanges beside them, the slowest in ${Math.round(slowestExchangeMs)} ms, RSS ${rss} MiB`,
  );
}
