/** What one scenario file came to on one release. */
export interface MatrixCell {
  readonly release: string;
  /** Name of the scenario file, without folder and ending. */
  readonly file: string;
  /** False also when something outside the tests failed: a world that did not start. */
  readonly ok: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Why tests were skipped, each reason once. */
  readonly reasons: readonly string[];
  readonly ms: number;
}

/** A line for each scenario file with a column for each release, then the reasons of what was skipped. */
export function matrixText(cells: readonly MatrixCell[]): string {
  const releases = [...new Set(cells.map(({ release }) => release))];
  const files = [...new Set(cells.map(({ file }) => file))];
  const rows = [
    ['', ...releases.map((release) => `hub ${release}`)],
    ...files.map((file) => [
      file,
      ...releases.map((release) =>
        shown(cells.find((cell) => cell.file === file && cell.release === release)),
      ),
    ]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const table = rows.map((row) => row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  '));
  const skipped = cells.flatMap(({ release, file, reasons }) =>
    reasons.map((reason) => `skipped: ${file} on ${release}: ${reason}`),
  );
  return [...table.map((line) => line.trimEnd()), ...skipped].join('\n');
}

function shown(cell: MatrixCell | undefined): string {
  if (cell === undefined) return 'not run';
  const counts = [
    `${cell.passed} passed`,
    ...(cell.failed > 0 ? [`${cell.failed} failed`] : []),
    ...(cell.skipped > 0 ? [`${cell.skipped} skipped`] : []),
    `${Math.round(cell.ms / 1000)} s`,
  ];
  return `${cell.ok ? 'ok  ' : 'FAIL'} ${counts.join(', ')}`;
}
