import { posix } from 'node:path';
import type { ExecConfig } from './cluster.ts';

/**
 * Variables that make an allowed command run something else: what a loader, a shell or an interpreter takes code or
 * paths from. A list cannot be complete, so the sure way is to allow a command that looks at none.
 */
const codeVariables =
  /^(?:PATH|IFS|ENV|BASH_ENV|BASH_FUNC_.*|SHELLOPTS|BASHOPTS|PS4|LD_.*|DYLD_.*|GCONV_PATH|GLIBC_TUNABLES|NODE_.*|PYTHON.*|PERL.*|RUBY.*|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|JDK_JAVA_OPTIONS|GIT_.*|OPENSSL_CONF|OPENSSL_MODULES)$/;

/**
 * Why a plugin may not run; undefined: it may. `allowed` are names or absolute paths as Secrets write them, or `*` for
 * any. A name and the path that it leads to are two entries: which one runs must not depend on a directory's content.
 */
export function execPluginProblem(
  { command, env }: Pick<ExecConfig, 'command' | 'env'>,
  allowed: readonly string[],
): string | undefined {
  if (command.includes('/') && !command.startsWith('/'))
    return 'the command of the exec config must be a name or an absolute path';
  if (allowed.includes('*')) return undefined;
  if (!allowed.includes(posix.normalize(command))) {
    const shown = JSON.stringify(command.slice(0, 200));
    return `the command ${shown} of the exec config is not in --exec-plugin-allowlist`;
  }
  const variable = env.find(({ name }) => codeVariables.test(name));
  if (!variable) return undefined;
  const shown = JSON.stringify(variable.name.slice(0, 100));
  return `the exec config must not set ${shown}: it could make the command run another`;
}
