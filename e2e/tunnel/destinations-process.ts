/** Starts destinations in a process of their own, in whatever network it stands, and prints their ports as JSON. */
import { startDestinations } from './destinations.ts';

const { http, echo, scripted, closed } = await startDestinations();
process.stdout.write(`${JSON.stringify({ http, echo, scripted, closed })}\n`);
