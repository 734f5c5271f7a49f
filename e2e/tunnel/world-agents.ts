/**
 * Agents of one tunnel server, each for a cluster of its own, all in this process: an agent says at its start by what name it is
 * found and where that leads, and a world registers many. Arguments: the path of a Unix socket, and what all agents are
 * started with. `PUT /NAME/HOST:PORT` to that socket leads the name there, and is answered when its agent is connected.
 */
import { createServer } from 'node:http';

import { parseAgentFlags } from '../../src/app/agent-options.ts';
import { type AgentProcess, startAgent } from '../../src/app/agent-process.ts';
import { createLog } from '../../src/app/process-log.ts';
import { until } from '../worlds/wait.ts';

const [socketPath, ...flags] = process.argv.slice(2);
const log = createLog(0);
const led = new Map<string, { readonly to: string; readonly agent: Promise<AgentProcess> }>();

createServer((request, response) => {
  const [, name = '', to = ''] = (request.url ?? '').split('/');
  lead(name, to).then(
    () => response.end(),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
}).listen(socketPath);

/** Whoever led elsewhere is gone before: a name is one cluster's. */
async function lead(name: string, to: string): Promise<void> {
  const before = led.get(name);
  const agent = before?.to === to ? before.agent : start(name, { to, before: before?.agent });
  led.set(name, { to, agent });
  await agent;
}

async function start(
  name: string,
  { to, before }: { readonly to: string; readonly before: Promise<AgentProcess> | undefined },
): Promise<AgentProcess> {
  await before?.then((agent) => agent.destroy());
  const own = [
    `--agent-id=${name}`,
    `--agent-identifiers=host=${name}`,
    `--destination-alias=${name}:443=${to}`,
  ];
  const agent = await startAgent(parseAgentFlags([...flags, ...own], {}), { log });
  const ready = async (): Promise<true | undefined> =>
    (await fetch(`http://127.0.0.1:${agent.healthPort}/readyz`)).ok || undefined;
  await until(`the agent of ${name}`, ready, { timeoutMs: 20_000, intervalMs: 10 });
  return agent;
}
