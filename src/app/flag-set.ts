import { Command, CommanderError, Option } from 'commander';
import { errorText } from '../base/failure.ts';
import type { Flag } from './flag.ts';

/** Parsing ended without options: `--help`, or something wrong. `text` is for standard output or error. */
export class FlagsEnd extends Error {
  readonly exitCode: number;
  constructor(text: string, exitCode: number) {
    super(text);
    this.exitCode = exitCode;
  }
}

/** The flags of one role of the program. */
export interface FlagSet<Table extends Record<string, Flag>> {
  /** As it is called: `cluster-gateway apiserver`. */
  readonly name: string;
  readonly description: string;
  readonly flags: Table;
  /** Flags that others have by this name, refused by it. */
  readonly notImplemented?: ReadonlySet<string>;
  /** Words that change nothing: what is not there may be switched off. */
  readonly isIgnored?: (word: string) => boolean;
  /** Words that may stand between the flags. */
  readonly allowedWords?: readonly string[];
}

/** By the name of the flag; undefined: not given, and without a default. */
export type FlagValues<Table extends Record<string, Flag>> = {
  [Name in keyof Table]: ReturnType<Table[Name]['parse']> | undefined;
};

/** Reads the command line; throws FlagsEnd for `--help` and for the first thing that is wrong. */
export function parseFlags<Table extends Record<string, Flag>>(
  set: FlagSet<Table>,
  argv: readonly string[],
): FlagValues<Table> {
  refuseNotImplemented(set, argv);
  const command = commandFor(set);
  try {
    command.parse(pflagWords(set, argv), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const isHelp = error.code === 'commander.helpDisplayed' || error.code === 'commander.help';
    throw new FlagsEnd(
      isHelp ? command.helpInformation() : error.message.replace(/^error: /, ''),
      isHelp ? 0 : 2,
    );
  }
  const allowed = set.allowedWords ?? [];
  const [word] = command.args.filter((each) => !allowed.includes(each));
  if (word !== undefined) throw new FlagsEnd(`unknown argument ${JSON.stringify(word)}`, 2);
  return valuesOf(set, command);
}

/** The value of a flag that has a default. */
export function defaulted<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a flag without a default was expected to have one');
  return value;
}

/** Go's pflag reads some words otherwise than commander: `--bool` never takes the next word, and `-v=4` is `--v=4`. */
function pflagWords(set: FlagSet<Record<string, Flag>>, argv: readonly string[]): string[] {
  const flags = new Map(Object.entries(set.flags));
  return argv
    .filter((word) => set.isIgnored?.(word) !== true)
    .map((word) => {
      if (flags.get(word.slice(2))?.value === 'bool' && word.startsWith('--')) return `${word}=true`;
      return word.startsWith('-v=') ? `-${word}` : word;
    });
}

function refuseNotImplemented(set: FlagSet<Record<string, Flag>>, argv: readonly string[]): void {
  for (const word of argv) {
    const name = /^--([a-z0-9-]+)/.exec(word)?.[1] ?? '';
    if (set.notImplemented?.has(name) === true && set.isIgnored?.(word) !== true)
      throw new FlagsEnd(`--${name} is not implemented by this version`, 2);
  }
}

function commandFor(set: FlagSet<Record<string, Flag>>): Command {
  const command = new Command(set.name)
    .description(set.description)
    .argument('[words...]')
    .usage('[flags]')
    .helpOption('-h, --help', 'Show this.')
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .configureHelp({
      helpWidth: 110,
      showGlobalOptions: false,
      visibleArguments: () => [],
      optionTerm: ({ flags }) => flags.replace(' <bool>', '[=bool]'),
    })
    .exitOverride();
  for (const [name, flag] of Object.entries(set.flags)) {
    // A boolean's value may be left out, but only `=` gives it: see pflagWords.
    const value = flag.value === 'bool' ? '<bool>' : `<${flag.value}>`;
    const option = new Option(
      `${flag.short === undefined ? '' : `${flag.short}, `}--${name} ${value}`,
      flag.help,
    );
    if (flag.joinedBy !== undefined) option.argParser(joinValues(flag.joinedBy));
    if (flag.default !== undefined && flag.default !== '') option.default(flag.default, flag.default);
    option.helpGroup(`${flag.group}:`);
    if (flag.hidden) option.hideHelp();
    command.addOption(option);
  }
  if (command.options.some((option) => option.negate)) throw new Error('flags are not negated');
  return command;
}

/** As pflag's slices: the first value takes the place of the default, later ones are added. */
function joinValues(separator: string): (value: string) => string {
  const given: string[] = [];
  return (value) => {
    given.push(value);
    return given.join(separator);
  };
}

function valuesOf<Table extends Record<string, Flag>>(
  set: FlagSet<Table>,
  command: Command,
): FlagValues<Table> {
  const flags = new Map(Object.entries<Flag>(set.flags));
  const values: Record<string, unknown> = {};
  for (const option of command.options) {
    const name = option.long?.slice(2) ?? '';
    const flag = flags.get(name);
    if (!flag) continue;
    const given: unknown = command.getOptionValue(option.attributeName()) ?? flag.default;
    try {
      values[name] = typeof given === 'string' ? flag.parse(given) : undefined;
    } catch (error) {
      throw new FlagsEnd(`invalid value for --${name}: ${errorText(error)}`, 2);
    }
  }
  return values as FlagValues<Table>;
}
