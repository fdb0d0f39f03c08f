<?php
// Send one report to Jembatan, signed by Standard Webhooks v1. PHP 8.0 or newer, no extension, no package.
//
//     export JEMBATAN_URL=http://127.0.0.1:8311/webhooks/qlue JEMBATAN_KEY=whsec_...
//     php sender.php report.json

declare(strict_types=1);

const ATTEMPTS = 8;
const TIMEOUT_S = 30;

/** Return one entry of the webhook-signature header; `$body` is the very bytes that are sent. */
function sign(string $key, string $webhookId, int $timestamp, string $body): string
{
    $secret = base64_decode(preg_replace('/^whsec_/', '', $key), true);
    return 'v1,' . base64_encode(hash_hmac('sha256', "$webhookId.$timestamp.$body", $secret, true));
}

/** Wrap a report: what happened, and when it happened at the city. */
function event_of(mixed $report): array
{
    return ['type' => 'report.submitted', 'timestamp' => gmdate('Y-m-d\TH:i:s\Z'), 'data' => $report];
}

/** Send once; return the status (0: nobody answered), the Retry-After header, and the text of the answer. */
function attempt(string $url, string $key, string $webhookId, string $body): array
{
    $timestamp = time(); // of this attempt, and so is the signature
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => [
            'content-type: application/json',
            "webhook-id: $webhookId",
            "webhook-timestamp: $timestamp",
            'webhook-signature: ' . sign($key, $webhookId, $timestamp, $body),
        ],
        'content' => $body,
        'timeout' => TIMEOUT_S,
        'follow_location' => 0,
        'ignore_errors' => true, // an answer is an answer, whatever its status
    ]]);
    $stream = @fopen($url, 'rb', false, $context);
    if ($stream === false) {
        return [0, '', error_get_last()['message'] ?? 'no answer'];
    }
    $lines = stream_get_meta_data($stream)['wrapper_data'];
    $text = stream_get_contents($stream);
    fclose($stream);
    $retryAfter = preg_replace('/^retry-after:\s*/i', '', current(preg_grep('/^retry-after:/i', $lines)) ?: '');
    return [(int) (explode(' ', $lines[0])[1] ?? 0), $retryAfter, (string) $text];
}

/** Send until it is taken or refused. The id stays the same: however often it arrives, it is one report. */
function send(string $url, string $key, string $body): array
{
    $webhookId = 'msg_' . bin2hex(random_bytes(16));
    for ($number = 0; $number < ATTEMPTS; $number++) {
        [$status, $retryAfter, $text] = attempt($url, $key, $webhookId, $body);
        if (!in_array($status, [0, 429], true) && $status < 500) {
            break;
        }
        if ($number + 1 < ATTEMPTS) {
            $waitS = preg_match('/^[0-9]+$/', $retryAfter) ? (float) $retryAfter : 2 ** $number * (1 + random_int(0, 500) / 1000);
            fwrite(STDERR, sprintf("%s: %s; again in %.0f s\n", $status ?: 'no answer', trim($text), $waitS));
            usleep((int) ($waitS * 1_000_000));
        }
    }
    return [$status, $text];
}

if (realpath($_SERVER['SCRIPT_FILENAME'] ?? '') === __FILE__) {
    $report = json_decode(file_get_contents($argv[1]), false, 32, JSON_THROW_ON_ERROR);
    // Written once, then signed and sent as these bytes.
    $body = json_encode(event_of($report), JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);
    [$status, $text] = send((string) getenv('JEMBATAN_URL'), (string) getenv('JEMBATAN_KEY'), $body);
    echo $status, ' ', trim($text), "\n";
    exit($status >= 200 && $status < 300 ? 0 : 1);
}
