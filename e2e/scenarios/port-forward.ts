import { expect } from 'vitest';

import { box } from '../worlds/node.ts';
import type { RunningKubectl } from './running-kubectl.ts';

/** Arguments of a `kubectl port-forward` to the pod of a world, on a free port. */
export const portForward = ['port-forward', box.name, `:${box.port}`] as const;

/** Twenty requests at once through it, each of which gets the pod's page; then it is ended. */
export async function expectPages(forward: RunningKubectl): Promise<void> {
  try {
    const [, port = ''] = await forward.says(/127\.0\.0\.1:(\d+)/);
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/index.html`);
        return `${answer.status} ${await answer.text()}`;
      }),
    );
    expect(new Set(answers)).toEqual(new Set(['200 world\n']));
    expect(forward.stderr()).toBe('');
  } finally {
    await forward.kill();
  }
}
