import { respondText } from './status-response.ts';
import type { Exchange } from './exchange.ts';

/** A named check of a probe: a text says what is wrong, undefined that all is well. */
export interface Check {
  readonly name: string;
  readonly check: () => string | undefined;
}

export interface Probes {
  /**
   * Answers /livez, /readyz, /healthz and the single checks below them, with these headers beside its own; false when
   * the path is none of these.
   */
  handle(exchange: Exchange, path: string, headers?: readonly string[]): boolean;
}

const ping: Check = { name: 'ping', check: () => undefined };

/**
 * kube-apiserver's probes (apiserver pkg/server/healthz): `ok`, or every check by name with `?verbose`; a failing one
 * makes 500. Liveness never depends on the hub or on a cluster.
 */
export function createProbes(checks: { live: readonly Check[]; ready: readonly Check[] }): Probes {
  const byPath = new Map<string, readonly Check[]>([
    ['livez', [ping, ...checks.live]],
    ['readyz', [ping, ...checks.live, ...checks.ready]],
    ['healthz', [ping, ...checks.live, ...checks.ready]],
  ]);
  return {
    handle: (exchange, path, headers = []) => {
      const respond = (status: number, text: string) => respondText(exchange, { status, text }, headers);
      const [, probe = '', single, ...rest] = path.split('/');
      const known = byPath.get(probe);
      if (!known || rest.length > 0) return false;
      if (single === undefined) {
        const { status, text } = answerOf(exchange.target, probe, known);
        respond(status, text);
        return true;
      }
      const check = known.find(({ name }) => name === single);
      if (!check) return false;
      const failure = check.check();
      if (failure === undefined) respond(200, 'ok');
      else respond(500, `internal server error: ${failure}\n`);
      return true;
    },
  };
}

function answerOf(target: string, probe: string, checks: readonly Check[]): { status: number; text: string } {
  const query = new URLSearchParams(target.split('?')[1] ?? '');
  const excluded = new Set(query.getAll('exclude'));
  const failing = new Set(checks.filter(({ name, check }) => !excluded.has(name) && check() !== undefined));
  const lines = checks.map((check) => {
    if (excluded.delete(check.name)) return `[+]${check.name} excluded: ok\n`;
    // The reason is for those who may read the log: probes answer anybody.
    return failing.has(check) ? `[-]${check.name} failed: reason withheld\n` : `[+]${check.name} ok\n`;
  });
  if (excluded.size > 0) {
    lines.push(
      `warn: some health checks cannot be excluded: no matches for ${[...excluded].map((name) => JSON.stringify(name)).join(', ')}\n`,
    );
  }
  if (failing.size > 0) return { status: 500, text: `${lines.join('')}${probe} check failed\n` };
  return { status: 200, text: query.has('verbose') ? `${lines.join('')}${probe} check passed\n` : 'ok' };
}
