import { execFile } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const repository = resolve(import.meta.dirname, '../..');

/**
 * Compiles the program as its image has it, since types in the sources cost memory at the start; gives the path of its main
 * module. It goes with the folder.
 */
export async function compileProgram(directory: string): Promise<string> {
  const compiler = resolve(repository, 'node_modules/typescript/bin/tsc');
  const out = join(directory, 'dist');
  await run(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--outDir', out], { cwd: repository });
  await symlink(resolve(repository, 'node_modules'), join(directory, 'node_modules'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}\n');
  return join(out, 'cli/main.js');
}
