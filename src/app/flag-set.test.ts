import { describe, expect, test } from 'vitest';
import { FlagsEnd, defaulted, parseFlags } from './flag-set.ts';
import type { FlagSet } from './flag-set.ts';
import { file, integer, text } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseBoolean, parseList } from './go-values.ts';

const flags = {
  host: { group: 'Cups', value: 'name', default: 'here', parse: text, help: 'Where the cups are.' },
  port: { group: 'Cups', value: 'port', default: '80', parse: integer(0, 99), help: 'By which they come.' },
  milk: { group: 'Milk', value: 'bool', default: 'false', parse: parseBoolean, help: 'With milk.' },
  kinds: { group: 'Milk', value: 'kinds', default: 'cow', parse: parseList, joinedBy: ',', help: 'Whose.' },
  recipe: { group: 'Milk', value: 'file', parse: file, help: 'How.' },
  secretly: { group: 'Milk', value: 'text', parse: text, hidden: true, help: 'Not told.' },
  v: { group: 'Milk', value: 'level', default: '0', parse: integer(0, 10), short: '-v', help: 'Loudness.' },
} satisfies Record<string, Flag>;

const set: FlagSet<typeof flags> = {
  name: 'barista serve',
  description: 'Serves coffee.',
  flags,
  notImplemented: new Set(['sugar', 'cake']),
  isIgnored: (word) => word === '--cake=false',
  allowedWords: ['serve'],
};

function end(...argv: readonly string[]): { text: string; exitCode: number } {
  try {
    parseFlags(set, argv);
  } catch (error) {
    if (error instanceof FlagsEnd) return { text: error.message, exitCode: error.exitCode };
    throw error;
  }
  throw new Error('it was accepted');
}

test('defaults, parsed as if they had been written', () => {
  expect(parseFlags(set, [])).toEqual({
    ...{ host: 'here', port: 80, milk: false, kinds: ['cow'], v: 0 },
    ...{ recipe: undefined, secretly: undefined },
  });
});

test.each([
  [['--port=81'], { port: 81 }],
  [['--port', '81'], { port: 81 }],
  [['--port=1', '--port=81'], { port: 81 }],
  [['--milk'], { milk: true }],
  [['--milk', '--port=81'], { milk: true, port: 81 }],
  [['--milk=f'], { milk: false }],
  [['--kinds=oat', '--kinds=soy,'], { kinds: ['oat', 'soy'] }],
  [['--recipe='], { recipe: undefined }],
  [['--secretly=a'], { secretly: 'a' }],
  [['--host='], { host: '' }],
  [['-v=4'], { v: 4 }],
  [['-v4'], { v: 4 }],
  [['serve', '--cake=false'], {}],
])('%j', (argv, values) => {
  expect(parseFlags(set, argv)).toMatchObject(values);
});

describe('what is refused', () => {
  test.each([
    [['--nope'], "unknown option '--nope'"],
    [['--port'], "option '--port <port>' argument missing"],
    [['--port=100'], 'invalid value for --port: "100" is not a whole number from 0 to 99'],
    [['--milk', 'false'], 'unknown argument "false"'],
    [['--sugar=2'], '--sugar is not implemented by this version'],
    [['--cake=true'], '--cake is not implemented by this version'],
    [['drink'], 'unknown argument "drink"'],
    // Names that every object has.
    [['--constructor=1'], "unknown option '--constructor=1'"],
    [['--__proto__=1'], "unknown option '--__proto__=1'"],
  ])('%j', (argv, message) => {
    expect(end(...argv)).toEqual({ text: message, exitCode: 2 });
  });

  test('nothing of what a set leaves out is allowed', () => {
    const bare = { name: set.name, description: set.description, flags };
    expect(() => parseFlags(bare, ['serve'])).toThrow('unknown argument "serve"');
    expect(() => parseFlags(bare, ['--cake=false'])).toThrow("unknown option '--cake=false'");
  });
});

test('--help names the role and what is not hidden', () => {
  const { text: help, exitCode } = end('--help');
  expect(exitCode).toBe(0);
  expect(help).toContain('Usage: barista serve [flags]\n\nServes coffee.\n');
  expect(help).toContain('--milk[=bool]');
  expect(help).toContain('(default: here)');
  expect(help).not.toContain('secretly');
  expect(end('-h').text).toBe(help);
});

test('a value that must be there', () => {
  expect(defaulted(0)).toBe(0);
  expect(() => defaulted(undefined)).toThrow('was expected to have one');
});
