import { parseArgs } from 'node:util';

/** What `npm run bench` was asked for. */
export interface BenchArguments {
  /** Numbers of rows, as in the table; empty for all. */
  readonly rows: readonly number[];
  /** Names of peers; empty for all. */
  readonly peers: readonly string[];
  readonly rounds: number;
  /** Short loads, for a developer at work: the figures say less. */
  readonly quick: boolean;
  /** Where the result goes as JSON, beside the table. */
  readonly json: string | undefined;
  /** Flags of Node for our own process, such as --cpu-prof. */
  readonly nodeFlags: readonly string[];
}

const fullRounds = 5;
const quickRounds = 2;

/**
 * Reads the command line.
 * @throws Error that says which argument is wrong
 * @example readArguments(['--row', '1', '--quick'])
 */
export function readArguments(argv: readonly string[]): BenchArguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      row: { type: 'string', multiple: true, default: [] },
      peer: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      'node-flag': { type: 'string', multiple: true, default: [] },
    },
  });
  const { quick } = values;
  const rounds = values.rounds === undefined ? undefined : positive('--rounds', values.rounds);
  return {
    rows: values.row.map((text) => positive('--row', text)),
    peers: values.peer,
    rounds: rounds ?? (quick ? quickRounds : fullRounds),
    quick,
    json: values.json,
    nodeFlags: values['node-flag'],
  };
}

function positive(name: string, text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`${name}=${text}: a number from 1 is expected`);
  return Number(text);
}
