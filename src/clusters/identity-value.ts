/**
 * Whether a name, group, UID or extra value is at the cluster what it is here: HTTP trims spaces at both ends, so that
 * ` system:masters` would pass every list and arrive as another group, and no header may have a control character.
 */
export function canTravel(value: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is meant
  return value !== '' && !/[\x00-\x1f\x7f]|^ | $/.test(value) && value.isWellFormed();
}
