import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { issueCertificate } from '../src/pki/issue.ts';
import type { IssuedCertificate } from '../src/pki/issue.ts';
import { developmentCertificates } from './profiles.ts';
import type { DevelopmentCertificate } from './profiles.ts';

const usage = `npm run certs [-- --out DIR]

Makes the development certificates of certs/profiles.ts, all of them anew, in DIR (certs/out unless told).
`;

async function issueAll(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const issued = new Map<string, IssuedCertificate>();
  for (const certificate of developmentCertificates) {
    const made = await issueOne(certificate, issued);
    issued.set(certificate.name, made);
    await writeFile(join(directory, `${certificate.name}.crt`), made.certificatePem);
    await writeFile(join(directory, `${certificate.name}.key`), made.privateKeyPem, { mode: 0o600 });
    console.log(`${certificate.name.padEnd(20)}${certificate.purpose}`);
  }
  const place = relative(process.cwd(), directory);
  console.log(`\n${developmentCertificates.length} certificates and their keys are in ${place || '.'}`);
}

function issueOne(
  { name, issuer, profile }: DevelopmentCertificate,
  issued: ReadonlyMap<string, IssuedCertificate>,
): Promise<IssuedCertificate> {
  if (issuer === undefined) return issueCertificate(profile);
  const authority = issued.get(issuer);
  if (!authority) throw new Error(`${name} is to be signed by ${issuer}, which does not stand before it`);
  return issueCertificate(profile, { issuer: authority });
}

function parseFlags(): { out: string; help: boolean } {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(import.meta.dirname, 'out') },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values;
}

try {
  const { out, help } = parseFlags();
  if (help) console.log(usage.trimEnd());
  else await issueAll(out);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
