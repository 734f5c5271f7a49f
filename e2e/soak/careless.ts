import { proxyPath } from '../scenarios/registration-world.ts';
import { pause, type Soak } from './soak.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const idleWatches = 20;

/** Callers who do not behave: none of their requests is judged, but what they leave behind is. */
export async function runCareless(soak: Soak): Promise<void> {
  await Promise.all([
    ...[0, 1, 2].map(() => again(soak, 'watches left', leaveWatch)),
    again(soak, 'uploads left', leaveUpload),
    again(soak, 'upgrades left', leaveUpgrade),
    again(soak, 'slow readers', readSlowly),
    ...Array.from({ length: idleWatches }, () => again(soak, 'idle watches', holdWatch)),
  ]);
}

async function again(soak: Soak, what: string, once: (soak: Soak) => Promise<void>): Promise<void> {
  while (!soak.ended()) {
    // The cluster may be away, and then it is not about this.
    await once(soak).catch(() => pause(soak, 500));
    soak.notes.count(what);
  }
}

const anyDoor = ({ doors }: Soak) => doors[Math.random() < 0.5 ? 0 : 1];

async function leaveWatch(soak: Soak): Promise<void> {
  const path = proxyPath(Math.random() < 0.8 ? 'a' : 'b', `${configMaps}?watch=1`);
  const response = await anyDoor(soak).open(path);
  response.on('error', () => {});
  await pause(soak, Math.random() * 2_000);
  response.destroy();
}

async function leaveUpload(soak: Soak): Promise<void> {
  const socket = await anyDoor(soak).connect();
  const head = `Host: x\r\nContent-Type: application/json\r\nContent-Length: 2000000`;
  socket.write(`POST ${proxyPath('a', configMaps)} HTTP/1.1\r\n${head}\r\n\r\n${'x'.repeat(500_000)}`);
  await pause(soak, Math.random() * 2_000);
  socket.destroy();
}

async function leaveUpgrade(soak: Soak): Promise<void> {
  const socket = await anyDoor(soak).connect();
  const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n';
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\n${key}Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n`;
  const exec = '/api/v1/namespaces/default/pods/box/exec?command=cat&stdin=true&stdout=true';
  socket.write(`GET ${proxyPath('a', exec)} HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
  await pause(soak, Math.random() * 3_000);
  socket.destroy();
}

/** A list of more than the buffers of the way hold, of which nothing is read for half a minute. */
async function readSlowly(soak: Soak): Promise<void> {
  const response = await anyDoor(soak).open(proxyPath('a', configMaps), { timeoutMs: 0 });
  response.on('error', () => {});
  await pause(soak, 30_000);
  let read = 0;
  for await (const chunk of response) {
    read += (chunk as Buffer).length;
    if (read > 200_000 && Math.random() < 0.05) break;
  }
  response.destroy();
}

/** A watch of which nothing comes, until its cluster ends it. */
async function holdWatch(soak: Soak): Promise<void> {
  const path = proxyPath('b', '/api/v1/namespaces/kube-system/configmaps?watch=1&labelSelector=none');
  const response = await anyDoor(soak).open(path, { timeoutMs: 0 });
  response.on('error', () => {});
  response.resume();
  while (!response.closed && !soak.ended()) await pause(soak, 500);
  response.destroy();
  await pause(soak, 200);
}
