import { expect, test } from 'vitest';
import {
  expired,
  fieldForbidden,
  fieldNotSupported,
  invalid,
  notAcceptable,
  resourceVersionTooLarge,
  unknownResource,
  unsupportedMediaType,
  verbNotSupported,
} from './status.ts';

test.each([
  [expired('gone'), 410, 'Expired'],
  [notAcceptable(['a/b']), 406, 'NotAcceptable'],
  [unsupportedMediaType(['a/b']), 415, 'UnsupportedMediaType'],
  [unknownResource(), 404, 'NotFound'],
  [verbNotSupported({ group: 'g', resource: 'r' }, 'watch'), 405, 'MethodNotAllowed'],
  [resourceVersionTooLarge('9', '3'), 504, 'Timeout'],
])('%s', ({ status }, code, reason) => {
  expect(status).toMatchObject({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason });
});

test('invalid names all that is wrong', () => {
  const one = fieldForbidden('x', 'x is forbidden');
  const two = fieldNotSupported('y', 'b', ['a', '']);
  expect(invalid({ group: 'g', kind: 'K' }, 'n', [one]).status.message).toBe(
    'K.g "n" is invalid: x: Forbidden: x is forbidden',
  );
  const { status } = invalid({ group: '', kind: 'K' }, '', [one, two]);
  expect(status.message).toBe(
    'K "" is invalid: [x: Forbidden: x is forbidden, y: Unsupported value: "b": supported values: "a", ""]',
  );
  expect(status.details).toEqual({ group: '', kind: 'K', causes: [one, two] });
});
