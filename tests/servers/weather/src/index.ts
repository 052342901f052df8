#!/usr/bin/env node
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

import { cities, forecast } from "./stations.js";

const server = new McpServer({ name: "toolman-weather", version: "1.0.0" });

server.registerTool(
  "list_cities",
  { description: "Name the cities that have a weather station", annotations: { readOnlyHint: true } },
  () => ({ content: [{ type: "text", text: cities().join("\n") }] }),
);

server.registerTool(
  "get_forecast",
  {
    description: "Forecast the weather of a city",
    inputSchema: {
      city: z.string().describe("As list_cities names it"),
      days: z.number().int().min(1).max(7).default(3).describe("How many days ahead"),
    },
    annotations: { readOnlyHint: true },
  },
  ({ city, days }) => {
    const found = forecast(city, days);
    if (found === undefined) {
      return { isError: true, content: [{ type: "text", text: `No station in ${city}` }] };
    }
    return { content: [{ type: "text", text: JSON.stringify(found) }] };
  },
);

server.registerTool(
  "reset_station",
  {
    description: "Forget all readings of a city's station",
    inputSchema: { city: z.string() },
    annotations: { destructiveHint: true },
  },
  ({ city }) => ({ content: [{ type: "text", text: `Readings of ${city} are gone` }] }),
);

await server.connect(new StdioServerTransport());
console.error(`toolman-weather: ${cities().length} stations`);
