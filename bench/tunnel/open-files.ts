/** What is left of a wish when each takes one of the files that a process may have open, beside those that it needs itself. */
export function within(wanted: number, openFiles: number): number {
  return Math.max(0, Math.min(wanted, openFiles - ownFiles));
}

const ownFiles = 500;

/** The hard limit of open files, out of /proc/PID/limits. */
export function openFilesOf(limits: string): number {
  const [, hard = '0'] = /^Max open files +\S+ +(\S+)/m.exec(limits) ?? [];
  return hard === 'unlimited' ? Infinity : Number(hard);
}
