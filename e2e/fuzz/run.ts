/** `npm run fuzz -- --seed N --seconds S`: a world of its own, and cases until the time is over or Ctrl-C. */
import { startKubeWorld } from '../worlds/kube.ts';
import { readArguments } from './arguments.ts';
import { startFuzzWorld } from './world.ts';

const { seed, seconds } = readArguments(process.argv.slice(2), Date.now());
const kube = await startKubeWorld({ node: false });
let interrupted = false;
process.once('SIGINT', () => (interrupted = true)).once('SIGTERM', () => (interrupted = true));
let found = 0;
try {
  const fuzz = await startFuzzWorld(kube, await kube.startGateway());
  const begun = performance.now();
  const elapsed = (): number => (performance.now() - begun) / 1000;
  console.log(`seed ${seed}`);
  let last = 0;
  const { cases, arrived } = await fuzz.fuzzer.run({
    seed,
    goOn: (count) => {
      last = count;
      return !interrupted && elapsed() < seconds;
    },
    onDifference: ({ fuzzCase, differences }) => {
      found += 1;
      console.log(`case ${last}: ${differences.join('\n  ')}\n  ${JSON.stringify(fuzzCase)}`);
    },
    batch: 250,
    onBatch: () => fuzz.assertAlive(),
  });
  const rate = (cases / elapsed()).toFixed(0);
  console.log(
    `seed ${seed}: ${cases} cases, ${arrived} requests arrived, ${rate} cases/s, ${found} differences`,
  );
  await fuzz.close();
} finally {
  await kube.stop();
}
process.exitCode = found === 0 ? 0 : 1;
