import { access, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueCertificate } from './issue.ts';

export interface SelfSignedOptions {
  /** `--cert-dir`; made when it is not there. */
  readonly directory: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

export interface ServingFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Whether the files were made by this call. */
  readonly made: boolean;
}

/**
 * The serving certificate of a server that was given none, as kube-apiserver does it: `apiserver.crt` and
 * `apiserver.key` in the directory are used when they are there, whoever made them, and made when both are not. The
 * certificate stands with an authority of its own, whose key is not kept.
 *
 * @throws Error when only one of the files is there, or the directory cannot be written.
 */
export async function ensureSelfSigned(options: SelfSignedOptions): Promise<ServingFiles> {
  const certificateFile = join(options.directory, 'apiserver.crt');
  const keyFile = join(options.directory, 'apiserver.key');
  const [hasCertificate, hasKey] = await Promise.all([isReadable(certificateFile), isReadable(keyFile)]);
  if (hasCertificate && hasKey) return { certificateFile, keyFile, made: false };
  if (hasCertificate || hasKey) {
    const [there, missing] = hasCertificate ? [certificateFile, keyFile] : [keyFile, certificateFile];
    throw new Error(`there is ${there} but no ${missing}: a new pair would overwrite it`);
  }
  const { certificatePem, privateKeyPem } = await issueSelfSigned(options);
  await mkdir(options.directory, { recursive: true, mode: 0o755 });
  await writeWhole(keyFile, privateKeyPem);
  await writeWhole(certificateFile, certificatePem);
  return { certificateFile, keyFile, made: true };
}

async function issueSelfSigned({ dnsNames, ipAddresses }: SelfSignedOptions) {
  const host = dnsNames[0] ?? ipAddresses[0] ?? 'localhost';
  const seconds = Math.floor(Date.now() / 1000);
  const issuer = await issueCertificate({ commonName: `${host}-ca@${seconds}`, ca: true, validDays: 365 });
  const serving = await issueCertificate(
    { commonName: `${host}@${seconds}`, usages: ['serverAuth'], dnsNames, ipAddresses },
    { issuer },
  );
  return { ...serving, certificatePem: serving.certificatePem + issuer.certificatePem };
}

async function isReadable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** By way of another name: a process that ends in the middle leaves nothing that looks like a pair. */
async function writeWhole(path: string, content: string): Promise<void> {
  const unfinished = `${path}.${process.pid}`;
  await writeFile(unfinished, content, { mode: 0o600 });
  await rename(unfinished, path);
}
