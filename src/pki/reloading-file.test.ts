import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Scope } from '../base/scope.ts';
import { issueCertificate } from './issue.ts';
import type { IssuedCertificate } from './issue.ts';
import { createReloadingFile } from './reloading-file.ts';
import { createReloadingKeyPair } from './reloading-key-pair.ts';

let directory: string;
let scope: Scope;
let errors: string[];
const onError = (error: Error) => void errors.push(error.message);
const at = (name: string) => join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'reloading-'));
  scope = new Scope();
  errors = [];
});
afterEach(async () => {
  await scope.close();
  rmSync(directory, { recursive: true });
});

/** Far beyond a test: what is seen before was noticed by the watch, or asked for. */
const never = 600_000;

describe('a file', () => {
  const open = async (options: { intervalMs?: number; check?: (content: string) => void } = {}) =>
    scope.own(await createReloadingFile(at('ca.crt'), { intervalMs: never, ...options, onError }));

  test('must be there at the start', async () => {
    await expect(open()).rejects.toThrow(/ca\.crt/);
  });

  test('must pass the check at the start', async () => {
    writeFileSync(at('ca.crt'), 'bad');
    const check = () => {
      throw new Error('no certificate');
    };
    await expect(open({ check })).rejects.toThrow('no certificate');
  });

  test('is read again when asked, and listeners hear of a change only', async () => {
    writeFileSync(at('ca.crt'), 'one');
    const file = await open();
    const heard: string[] = [];
    file.onChange((content) => heard.push(content));
    await file.reload();
    writeFileSync(at('ca.crt'), 'two');
    await file.reload();
    await file.reload();
    expect([file.current(), heard]).toEqual(['two', ['two']]);
  });

  test('is read again soon after it was written', async () => {
    writeFileSync(at('ca.crt'), 'one');
    const file = await open();
    writeFileSync(at('ca.crt'), 'two');
    await vi.waitFor(() => expect(file.current()).toBe('two'), 5_000);
  });

  test('is read again after another was put in its place, twice', async () => {
    writeFileSync(at('ca.crt'), 'one');
    const file = await open();
    for (const content of ['two', 'three']) {
      writeFileSync(at('new'), content);
      renameSync(at('new'), at('ca.crt'));
      await vi.waitFor(() => expect(file.current()).toBe(content), 5_000);
    }
  });

  test('is read again in its interval where a watch sees nothing', async () => {
    // The directory of the link stays as it is.
    const elsewhere = mkdtempSync(join(tmpdir(), 'elsewhere-'));
    scope.onEnd(() => rmSync(elsewhere, { recursive: true }));
    writeFileSync(join(elsewhere, 'file'), 'one');
    symlinkSync(join(elsewhere, 'file'), at('ca.crt'));
    const [slow, quick] = [await open(), await open({ intervalMs: 20 })];
    writeFileSync(join(elsewhere, 'file'), 'two');
    await vi.waitFor(() => expect(quick.current()).toBe('two'), 5_000);
    expect(slow.current()).toBe('one');
  });

  test('that goes away or bad keeps its last good content, and says so once', async () => {
    writeFileSync(at('ca.crt'), 'one');
    const check = (content: string) => {
      if (content === 'bad') throw new Error('no certificate');
    };
    const file = await open({ check });
    const heard: string[] = [];
    file.onChange((content) => heard.push(content));
    for (const step of [
      () => writeFileSync(at('ca.crt'), 'bad'),
      () => undefined,
      () => unlinkSync(at('ca.crt')),
      () => undefined,
    ]) {
      step();
      await file.reload();
      expect(file.current()).toBe('one');
    }
    expect(errors).toEqual(['no certificate', expect.stringContaining('ENOENT')]);
    writeFileSync(at('ca.crt'), 'two');
    await file.reload();
    expect([file.current(), heard]).toEqual(['two', ['two']]);
    for (const content of ['bad', 'three', 'bad']) {
      writeFileSync(at('ca.crt'), content);
      await file.reload();
    }
    expect(errors).toHaveLength(4);
  });

  test('a listener that throws harms no other', async () => {
    writeFileSync(at('ca.crt'), 'one');
    const file = await open();
    const heard: string[] = [];
    file.onChange(() => {
      throw new Error('listener');
    });
    const end = file.onChange((content) => heard.push(content));
    writeFileSync(at('ca.crt'), 'two');
    await file.reload();
    end();
    writeFileSync(at('ca.crt'), 'three');
    await file.reload();
    expect([heard, errors]).toEqual([['two'], ['listener', 'listener']]);
  });

  test('is read once more when it is asked for while it is being read', async () => {
    writeFileSync(at('ca.crt'), 'one');
    let asked: Promise<void> | undefined;
    const check = (content: string) => {
      if (content !== 'two') return;
      // The reading that is under way has passed the file already.
      writeFileSync(at('ca.crt'), 'three');
      asked = file.reload();
    };
    const file = await open({ check });
    writeFileSync(at('ca.crt'), 'two');
    await file.reload();
    await asked;
    expect(file.current()).toBe('three');
  });

  test.each(['close', 'destroy'] as const)('is left alone after %s', async (end) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] });
    scope.onEnd(() => void vi.useRealTimers());
    writeFileSync(at('ca.crt'), 'one');
    const check = vi.fn();
    const file = await open({ check });
    expect(vi.getTimerCount()).toBe(1);
    await file[end]();
    writeFileSync(at('ca.crt'), 'two');
    await file.reload();
    expect(check).toHaveBeenCalledTimes(1);
    expect([file.current(), vi.getTimerCount()]).toEqual(['one', 0]);
  });
});

describe('a key pair', () => {
  let one: IssuedCertificate;
  let two: IssuedCertificate;
  beforeAll(async () => {
    one = await issueCertificate({ commonName: 'one' });
    two = await issueCertificate({ commonName: 'two' }, { algorithm: 'rsa' });
  });

  const write = (pair: Partial<IssuedCertificate>) => {
    if (pair.certificatePem !== undefined) writeFileSync(at('tls.crt'), pair.certificatePem);
    if (pair.privateKeyPem !== undefined) writeFileSync(at('tls.key'), pair.privateKeyPem);
  };
  const open = async (intervalMs = never) =>
    scope.own(
      await createReloadingKeyPair({
        certificateFile: at('tls.crt'),
        keyFile: at('tls.key'),
        intervalMs,
        onError,
      }),
    );

  test('follows the files', async () => {
    write(one);
    const pair = await open();
    expect(pair.current()).toEqual(one);
    write(two);
    await vi.waitFor(() => expect(pair.current()).toEqual(two), 5_000);
  });

  test.each([
    ['a certificate of another key', () => ({ certificatePem: two.certificatePem }), /does not belong/],
    ['a key of another certificate', () => ({ privateKeyPem: two.privateKeyPem }), /does not belong/],
    ['a certificate that is none', () => ({ certificatePem: 'text' }), /cannot read a certificate/],
    ['a key that is none', () => ({ privateKeyPem: 'text' }), /cannot read a private key/],
    ['an empty file', () => ({ certificatePem: '' }), /cannot read a certificate/],
  ])('%s is not taken', async (_, change, problem) => {
    write(one);
    const pair = await open();
    const listener = vi.fn();
    pair.onChange(listener);
    write(change());
    await pair.reload();
    expect(pair.current()).toEqual(one);
    expect(errors).toEqual([expect.stringMatching(problem)]);
    expect(errors.join()).not.toContain('PRIVATE KEY');
    expect(listener).not.toHaveBeenCalled();
    write(two);
    await pair.reload();
    expect(pair.current()).toEqual(two);
    write({ ...one, privateKeyPem: 'text' });
    await expect(open()).rejects.toThrow(/private key/);
  });

  test('in a mounted Secret is followed when kubelet swaps ..data', async () => {
    const fill = (version: string, pair: IssuedCertificate) => {
      mkdirSync(at(version));
      writeFileSync(join(at(version), 'tls.crt'), pair.certificatePem);
      writeFileSync(join(at(version), 'tls.key'), pair.privateKeyPem);
      symlinkSync(version, at('..data_tmp'));
      renameSync(at('..data_tmp'), at('..data'));
    };
    fill('..2026_01', one);
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, at(name));
    const pair = await open();
    const certificates: string[] = [];
    pair.onChange(({ certificatePem }) => certificates.push(certificatePem));
    for (const [index, next] of [two, one].entries()) {
      fill(`..2026_0${index + 2}`, next);
      await vi.waitFor(() => expect(pair.current()).toEqual(next), 5_000);
    }
    expect(certificates).toEqual([two.certificatePem, one.certificatePem]);
    expect(errors).toEqual([]);
  });
});
