/** Codes of gRPC that these programs send or look at (grpc/grpc doc/statuscodes.md). */
export const grpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** How a gRPC call ended, or why it must. */
export class GrpcStatus extends Error {
  override readonly name = 'GrpcStatus';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }

  get isOk(): boolean {
    return this.code === grpcCode.ok;
  }
}

/**
 * The lines that end a call. Messages are percent-encoded UTF-8 (PROTOCOL-HTTP2.md), and so are spaces at either end, which
 * no header line may have (RFC 9113 8.2.1).
 */
export function statusLines({ code, message }: GrpcStatus): string[] {
  const lines = ['grpc-status', String(code)];
  if (message === '') return lines;
  const encoded = Buffer.from(message)
    .toString('latin1')
    .replace(
      /[^\x20-\x24\x26-\x7e]|^ | $/g,
      (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    );
  return [...lines, 'grpc-message', encoded];
}

/** Reads the lines that ended a call; undefined: they say nothing of it. */
export function readStatus(lines: readonly string[]): GrpcStatus | undefined {
  let code: number | undefined;
  let message = '';
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [name, value = ''] = [lines[at], lines[at + 1]];
    if (name === 'grpc-status') code = /^\d{1,3}$/.test(value) ? Number(value) : grpcCode.unknown;
    if (name === 'grpc-message') message = decodeMessage(value);
  }
  return code === undefined ? undefined : new GrpcStatus(code, message);
}

/** What is not encoded as it should be is taken as it is. */
function decodeMessage(text: string): string {
  const bytes = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** The status that stands for an HTTP/2 error code (PROTOCOL-HTTP2.md, "HTTP2 Transport Mapping"). */
export function statusOfReset(code: number): GrpcStatus {
  switch (code) {
    case 7:
      return new GrpcStatus(grpcCode.unavailable, 'the stream was refused');
    case 8:
      return new GrpcStatus(grpcCode.cancelled, 'the stream was cancelled');
    case 11:
      return new GrpcStatus(grpcCode.resourceExhausted, 'the peer asks for calm');
    case 12:
      return new GrpcStatus(grpcCode.permissionDenied, 'the connection is not secure enough');
    default:
      return new GrpcStatus(grpcCode.internal, `the stream was reset with code ${code}`);
  }
}
