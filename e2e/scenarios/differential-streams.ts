import { pod } from './differential-manifests.ts';
import type { Sequence, Step } from './differential-step.ts';

const protocols = {
  WebSocket: {},
  SPDY: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' },
};

/** What runs over upgraded connections, by each of the two protocols that kubectl has for them. */
export const streamSequences: readonly Sequence[] = Object.entries(protocols).map(([protocol, env]) => ({
  name: `[44][45] streams over ${protocol}`,
  steps: [
    { command: 'apply -f -', stdin: pod },
    { command: 'wait pod/streams --for=condition=Ready --timeout=20s', untilItSucceeds: true },
    ...[
      { command: 'exec streams -- echo hello' },
      { command: "exec streams -- sh -c 'echo out; echo err >&2; exit 7'" },
      { command: 'exec -i streams -- cat', stdin: 'a line\nand äöü without an end' },
      { command: 'exec -i streams -- wc -c', stdin: 'x'.repeat(300_000) },
      { command: 'exec -it streams -- echo no-terminal', stdin: '' },
      { command: 'exec streams -c none -- true' },
      { command: 'exec streams -- no-such-program' },
      { command: 'exec absent -- true' },
      { command: 'exec streams -- true', limited: true },
      { command: 'cp /etc/passwd {ns}/streams:/tmp/copied' },
      { command: "exec streams -- sh -c 'wc -l < /tmp/copied'" },
      { command: 'attach -i absent', stdin: 'x' },
      { command: 'attach streams -c none' },
      { command: 'port-forward streams 0:8080 --pod-running-timeout=1s', limited: true },
      { command: 'port-forward absent 0:8080' },
      { command: 'logs streams --limit-bytes=6' },
    ].map((step: Step) => ({ ...step, env })),
    'delete pod streams --now',
  ],
}));
