import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';

import { boundToParent } from '../../e2e/worlds/process.ts';
import type { DialPlan, DialTimes } from './dial-plan.ts';

const program = join(import.meta.dirname, 'dial-driver.ts');

/** Runs the driver of dials to its end, on this process' cores. @throws Error with the end of what it wrote on stderr */
export async function runDials(plan: DialPlan, timeoutMs: number): Promise<DialTimes> {
  const args = boundToParent(process.execPath, [program, JSON.stringify(plan)]);
  const child = spawn('setpriv', args, {
    ...{ stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' },
  });
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  if (code === 0) return JSON.parse(output) as DialTimes;
  const why = code === null ? `they took more than ${timeoutMs} ms` : errors.slice(-1000);
  throw new Error(`${plan.count} dials (${plan.order}): ${why}`);
}
