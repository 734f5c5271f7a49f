import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The image of test pods: busybox with all its commands in /bin. */
export const busyboxImage = 'e2e.local/busybox:1';
/** The image of pod sandboxes: it sleeps. Both share one layer. */
export const pauseImage = 'e2e.local/pause:1';

/** Writes both images as one docker-archive, made from the static busybox of this machine: no registry is needed. */
export async function writeImages(path: string): Promise<void> {
  const layer = await busyboxLayer();
  const layerDigest = sha256(layer);
  const images = [
    { tag: busyboxImage, config: imageConfig(layerDigest, ['sh']) },
    { tag: pauseImage, config: imageConfig(layerDigest, ['sleep', '2147483647']) },
  ];
  const manifest = images.map(({ tag, config }) => ({
    Config: `${sha256(config)}.json`,
    RepoTags: [tag],
    Layers: ['layer.tar'],
  }));
  const archive = tar([
    { name: 'manifest.json', content: Buffer.from(JSON.stringify(manifest)) },
    ...images.map(({ config }) => ({ name: `${sha256(config)}.json`, content: config })),
    { name: 'layer.tar', content: layer },
  ]);
  await writeFile(path, archive);
}

async function busyboxLayer(): Promise<Buffer> {
  const busybox = '/bin/busybox';
  const { stdout } = await run(busybox, ['--list']);
  const commands = stdout.split('\n').filter((command) => command !== '' && command !== 'busybox');
  return tar([
    { name: 'bin/', mode: 0o755 },
    { name: 'bin/busybox', mode: 0o755, content: await readFile(busybox) },
    ...commands.map((command) => ({ name: `bin/${command}`, link: 'busybox' })),
    { name: 'etc/', mode: 0o755 },
    { name: 'etc/passwd', content: Buffer.from('root:x:0:0:root:/root:/bin/sh\n') },
    { name: 'etc/group', content: Buffer.from('root:x:0:\n') },
    { name: 'root/', mode: 0o700 },
    { name: 'tmp/', mode: 0o1777 },
  ]);
}

function imageConfig(layerDigest: string, command: readonly string[]): Buffer {
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: command },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerDigest}`] },
  };
  return Buffer.from(JSON.stringify(config));
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

interface TarEntry {
  /** A name that ends in a slash is a directory. */
  readonly name: string;
  readonly mode?: number;
  readonly content?: Buffer;
  /** Target of a symbolic link. */
  readonly link?: string;
}

/** A ustar archive (POSIX.1-1988): 512-byte headers with octal numbers, contents padded to 512, two empty blocks at the end. */
function tar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const content = entry.content ?? Buffer.alloc(0);
    return [tarHeader(entry, content.length), content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function tarHeader(entry: TarEntry, size: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100);
  header.write(octal(entry.mode ?? 0o644, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(0, 12), 136);
  header.write(' '.repeat(8), 148);
  header.write(entry.link === undefined ? (entry.name.endsWith('/') ? '5' : '0') : '2', 156);
  header.write(entry.link ?? '', 157, 100);
  header.write('ustar\u000000', 257);
  // The checksum counts its own field as blanks.
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${octal(checksum, 7)}\0 `.slice(0, 8), 148);
  return header;
}

/** Octal digits that fill a field of `width` but for its last byte, a NUL. */
function octal(value: number, width: number): string {
  return value.toString(8).padStart(width - 1, '0');
}
